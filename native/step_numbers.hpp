// The numbers that an optimiser's rule works with in one step.
#pragma once

#include <cmath>

#include "engine.hpp"

namespace clearprop {

// How many numbers it keeps for each parameter.
int slots_of(const Optimizer& optimizer);
// The numbers of one step for parameters with these factors on the rate and on penalty and decay; step counts
// from 1. Without the penalty, and with it; size is what the penalty is divided by where a batch divides it.
StepNumbers numbers_of(const Optimizer& optimizer, double eta, Index step, double scale, double decay);
StepNumbers penalised_numbers(const Optimizer& optimizer, double eta, Index step, double scale, double decay,
                              double size);
double penalty_divisor_of(const Optimizer& optimizer, double size);

// The penalty l1 sum|w| + l2/2 sum w^2 of numbers that these factors belong to; count in whole vectors.
template <class T>
double penalty_of(const Kernels<T>& k, const StepNumbers& s, const T* w, Index count) {
  double total = s.l2 == 0.0 ? 0.0 : 0.5 * s.l2 * k.square_sum(w, count);
  if (s.l1 == 0.0) return total;
  double sum = 0.0;
  for (Index i = 0; i < count; ++i) sum += std::fabs(static_cast<double>(w[i]));
  return total + s.l1 * sum;
}

}  // namespace clearprop
