// The costs of a small network, and which of its examples are right, with the examples in the lanes.
// The formulas are those of cost_functions.hpp, one output of as many examples as there are lanes at a time.
#pragma once

#include "costs.hpp"
#include "kernels.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// The costs ------------------------------------------------------------------------------------------------

template <class T>
struct LanesPinball {  // the lanes are examples of one output
  const double* quantiles;
  double quantile;
  CLEARPROP_INLINE Pinball<T> of(const Output<T>& o) const {
    return {nullptr, quantiles == nullptr ? quantile : quantiles[o.column], 1};
  }
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return of(o).value(o); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return of(o).error(o); }
};

// Sums of costs in float64, lane by lane, and then in one order.
template <class T>
struct LanesCosts {
  double lanes[kLanes<T>] = {};

  CLEARPROP_INLINE void add(Vec<T> costs, Vec<T> weights) {
    for (int i = 0; i < kLanes<T>; ++i) {
      lanes[i] += static_cast<double>(costs[i]) * static_cast<double>(weights[i]);
    }
  }
  CLEARPROP_INLINE double total() const {
    double sums[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i) sums[i] = lanes[i];
    for (int half = kLanes<T> / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    return sums[0];
  }
};

// The lanes from x on that hold examples, and their weights, 0 in the others.
template <class T>
CLEARPROP_INLINE Vec<T> weights_of(const LanesBatch<T>& b, Index x, Mask<T> real) {
  return select<T>(real, b.weights == nullptr ? splat(T(1)) : load(b.weights + x), Vec<T>{});
}

template <class T, class C>
double lanes_each(const C& cost, const Targets<T>& targets, const LanesBatch<T>& b, T share) {
  LanesCosts<T> sum;
  for (Index x = 0; x < b.width; x += kLanes<T>) {
    const Mask<T> real = first<T>(b.rows - x);
    const Vec<T> weights = weights_of<T>(b, x, real), factor = weights * share;
    Vec<T> total{};
    for (Index j = 0; j < b.n; ++j) {
      const Index at = j * b.width + x;
      const Output<T> o{load(b.z + at), load(b.a + at), targets(load(b.y + at)), j};
      total += cost.value(o);
      store(b.delta + at, select<T>(real, cost.error(o) * factor, Vec<T>{}));
    }
    sum.add(select<T>(real, total * share, Vec<T>{}), weights);
  }
  return sum.total();
}

// See softmax_example in costs.hpp.
template <class T>
double lanes_softmax_cross_entropy(const Targets<T>& targets, const LanesBatch<T>& b) {
  constexpr T big = Format<T>::big;
  LanesCosts<T> sum;
  for (Index x = 0; x < b.width; x += kLanes<T>) {
    const Mask<T> real = first<T>(b.rows - x);
    const Vec<T> weights = weights_of<T>(b, x, real);
    Vec<T> weight{}, product{}, largest_a{}, top = splat(-big);
    for (Index at = x; at < b.n * b.width; at += b.width) {
      weight += targets(load(b.y + at));
      top = at_least<T>(load(b.z + at), top);
      largest_a = at_least<T>(load(b.a + at), largest_a);
    }
    top = at_most<T>(top, splat(big));
    for (Index at = x; at < b.n * b.width; at += b.width) {
      const Vec<T> y = targets(load(b.y + at));
      product += weighted<T>(y, below<T>(load(b.z + at), top));
      const Vec<T> delta = (load(b.a + at) * weight - y) * weights;
      store(b.delta + at, select<T>(real, delta, Vec<T>{}));
    }
    const Vec<T> value = T(0) - (weight * log<T>(largest_a) + product);
    sum.add(select<T>(real, value, Vec<T>{}), weights);
  }
  return sum.total();
}

template <class T>
double lanes_row(SoftmaxCrossEntropy, const Targets<T>& targets, const LanesBatch<T>& b) {
  return lanes_softmax_cross_entropy<T>(targets, b);
}

template <class T, class C>
double lanes_row(const C& cost, const Targets<T>& targets, const LanesBatch<T>& b) {
  LanesCosts<T> sum;
  for (Index x = 0; x < b.width; x += kLanes<T>) {
    const Mask<T> real = first<T>(b.rows - x);
    const Vec<T> weights = weights_of<T>(b, x, real);
    const auto at = [&](const T* array) { return Across<T>{array + x, b.width, 1, kLanes<T>}; };
    const Into<T> delta{b.delta + x, b.width, 1, kLanes<T>};
    const Vec<T> value = cost.template example<true, true>(
        targets, Examples<T>{at(b.z), at(b.a), at(b.y), delta, splat(T(1)), b.n});
    for (Index j = 0; j < b.n; ++j) delta.put(j, select<T>(real, delta(j) * weights, Vec<T>{}));
    sum.add(select<T>(real, value, Vec<T>{}), weights);
  }
  return sum.total();
}

// The (weighted) sum of the costs, and the error of the outputs: dC_x/dz of a fused cost, else dC_x/da.
template <class T>
double lanes_cost(const Cost& cost, const LanesBatch<T>& b) {
  const Targets<T> targets(cost, b.n);
  double total = 0.0;
  with_cost<T>(
      cost, LanesPinball<T>{cost.quantiles, cost.option}, b.n,
      [&](const auto& c, T share) { total = lanes_each<T>(c, targets, b, share); },
      [&](const auto& c) { total = lanes_row<T>(c, targets, b); });
  return total;
}

// How many examples are right ------------------------------------------------------------------------------

// The first of the largest of each lane; NaN counts as larger than any number.
template <class T>
CLEARPROP_INLINE Mask<T> lanes_largest(const T* values, Index n, Index width) {
  Vec<T> best = load(values);
  Mask<T> at{};
  for (Index j = 1; j < n; ++j) {
    const Vec<T> v = load(values + j * width);
    const Mask<T> more = ~(v <= best) & (best == best);
    best = select<T>(more, v, best);
    at = more ? Mask<T>{} + static_cast<Integer<T>>(j) : at;
  }
  return at;
}

template <class T>
Index lanes_correct(Rule rule, double middle, const LanesBatch<T>& b) {
  if (rule == Rule::none) return 0;
  Mask<T> right{};  // -1 for each
  for (Index x = 0; x < b.width; x += kLanes<T>) {
    Mask<T> same = first<T>(b.rows - x);
    if (rule == Rule::largest) {
      same &= lanes_largest<T>(b.a + x, b.n, b.width) == lanes_largest<T>(b.y + x, b.n, b.width);
    } else {
      const Vec<T> edge = splat(static_cast<T>(middle));
      for (Index at = x; at < b.n * b.width; at += b.width) {
        same &= (load(b.a + at) > edge) == (load(b.y + at) > edge);
      }
    }
    right += same;
  }
  Index correct = 0;
  for (int i = 0; i < kLanes<T>; ++i) correct -= static_cast<Index>(right[i]);
  return correct;
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
