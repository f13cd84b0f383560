// The numbers that an optimiser's rule works with in one step.
#pragma once

#include "engine.hpp"

namespace clearprop {

// How many numbers it keeps for each parameter.
int slots_of(const Optimizer& optimizer);
// The numbers of one step for parameters with these factors on the rate and on penalty and decay; step counts
// from 1. Without the penalty, and with it.
StepNumbers numbers_of(const Optimizer& optimizer, double eta, Index step, double scale, double decay);
StepNumbers penalised_numbers(const Optimizer& optimizer, double eta, Index step, double scale, double decay,
                              Index rows);

}  // namespace clearprop
