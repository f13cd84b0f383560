// Costs C_x(a, y): one struct each with value and derivative, which rows and lanes share.
//
// The formulas are those of clearprop/costs. A fused cost is computed from z together with its output
// activation, whose a is at hand: its `error` is dC_x/dz, that of the others dC_x/da.
#pragma once

#include "ordered.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// y ln a with 0 ln 0 = 0, for y >= 0.
template <class T>
CLEARPROP_INLINE Vec<T> xlogy(Vec<T> y, Vec<T> a) {
  const Vec<T> product = y * log<T>(a);
  return select<T>((y == T(0)) & (a == a), Vec<T>{}, product);
}

// y / a with 0 / 0 = 0, for y >= 0.
template <class T>
CLEARPROP_INLINE Vec<T> ratio(Vec<T> y, Vec<T> a) {
  return select<T>((y == T(0)) & (a == T(0)), Vec<T>{}, y / a);
}

// weight * x with 0 * inf = 0; NaN stays.
template <class T>
CLEARPROP_INLINE Vec<T> weighted(Vec<T> weight, Vec<T> x) {
  return select<T>((weight == T(0)) & (x == x), Vec<T>{}, weight * x);
}

template <class T>
CLEARPROP_INLINE Vec<T> sign_of(Vec<T> x) {
  return select<T>(x > T(0), splat(T(1)), select<T>(x < T(0), splat(T(-1)), x));
}

// The costs, output by output ------------------------------------------------------------------------------

// One output of as many examples as there are lanes, or several of one.
template <class T>
struct Output {
  Vec<T> z, a, y;
  Index column;
};

template <class T>
struct Quadratic {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return (o.a - o.y) * (o.a - o.y) * T(0.5); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return o.a - o.y; }
};

template <class T>
struct SquaredError {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return (o.a - o.y) * (o.a - o.y); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return (o.a - o.y) * T(2); }
};

template <class T>
struct AbsoluteError {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return magnitude<T>(o.a - o.y); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return sign_of<T>(o.a - o.y); }
};

template <class T>
struct Huber {
  Vec<T> threshold;
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> size = magnitude<T>(o.a - o.y), near = at_most<T>(size, threshold);
    return near * (size - near * T(0.5));
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const {
    return at_most<T>(at_least<T>(o.a - o.y, -threshold), threshold);
  }
};

template <class T>
struct LogCosh {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return log_cosh<T>(o.a - o.y); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return tanh<T>(o.a - o.y); }
};

template <class T>
struct Pinball {
  const double* quantiles;
  double quantile;
  Index n;

  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return (o.a - o.y) * error(o); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const {
    const Vec<T> d = o.a - o.y, sign = sign_of<T>(d), q = at(o.column);
    return select<T>(d < T(0), q * sign, (T(1) - q) * sign);
  }
  CLEARPROP_INLINE Vec<T> at(Index column) const {
    if (quantiles == nullptr) return splat(static_cast<T>(quantile));
    T lanes[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i) {
      lanes[i] = static_cast<T>(quantiles[column + i < n ? column + i : n - 1]);
    }
    return load<T>(lanes);
  }
};

template <class T>
struct Poisson {
  // An infinite rate costs inf; the logarithm must not make that inf - inf.
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    return o.a - xlogy<T>(o.y, select<T>(o.a > std::numeric_limits<T>::max(), splat(T(1)), o.a));
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return T(1) - ratio<T>(o.y, o.a); }
};

template <class T>
struct ExponentialPoisson {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> each = o.a - weighted<T>(o.y, o.z);
    return select<T>(o.a > std::numeric_limits<T>::max(), o.a, each);
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return o.a - o.y; }
};

template <class T>
struct BinaryCrossEntropy {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    return T(0) - (xlogy<T>(o.y, o.a) + xlogy<T>(T(1) - o.y, T(1) - o.a));
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const {
    return ratio<T>(T(1) - o.y, T(1) - o.a) - ratio<T>(o.y, o.a);
  }
};

// -ln sigma(z) = max(-z, 0) + l and -ln sigma(-z) = max(z, 0) + l, with l = ln(1 + exp(-|z|)).
template <class T>
struct SigmoidBinaryCrossEntropy {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> l = log1p<T>(exp_capped<T>(-magnitude<T>(o.z)));
    return l + weighted<T>(o.y, at_least<T>(-o.z, Vec<T>{})) +
           weighted<T>(T(1) - o.y, at_least<T>(o.z, Vec<T>{}));
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return o.a - o.y; }
};

template <class T>
struct CrossEntropy {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return T(0) - xlogy<T>(o.y, o.a); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return T(0) - ratio<T>(o.y, o.a); }
};

template <class T>
struct Hinge {
  CLEARPROP_INLINE static Vec<T> missing(const Output<T>& o) {
    return at_least<T>(T(1) - o.y * o.a, Vec<T>{});
  }
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return missing(o); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return T(0) - o.y * sign_of<T>(missing(o)); }
};

template <class T>
struct SquaredHinge {
  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> missing = Hinge<T>::missing(o);
    return missing * missing;
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return T(0) - o.y * Hinge<T>::missing(o) * T(2); }
};

// d^gamma for d >= 0, with 0^0 = 1.
template <class T>
CLEARPROP_INLINE Vec<T> power(Vec<T> d, T gamma) {
  return gamma == T(0) ? splat(T(1)) : exp<T>(log<T>(d) * gamma);
}

// The slope of -d^gamma ln a by ln a, where d = 1 - a, divided by d^gamma: gamma a ln a / d - 1. Where ln a is
// -inf, a ln a is 0, also if a stays at the smallest number.
template <class T>
CLEARPROP_INLINE Vec<T> focal_slope(Vec<T> a, Vec<T> d, Vec<T> log_a, T gamma) {
  if (gamma == T(0)) return splat(T(-1));
  const Mask<T> sure = d == T(0);
  const Vec<T> product = select<T>(log_a < -std::numeric_limits<T>::max(), Vec<T>{}, a * log_a);
  return select<T>(sure, splat(T(-1)), product / select<T>(sure, splat(T(1)), d)) * gamma - T(1);
}

template <class T>
struct Focal {
  T gamma;

  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const { return T(0) - part(o.y, o.a, T(1) - o.a); }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const { return slope(o.y, o.a, T(1) - o.a); }

  // y d^gamma ln a, and the derivative of minus that by a; d = 1 - a.
  CLEARPROP_INLINE Vec<T> part(Vec<T> y, Vec<T> a, Vec<T> d) const {
    return power<T>(d, gamma) * xlogy<T>(y, a);
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> y, Vec<T> a, Vec<T> d) const {
    Vec<T> steepness = ratio<T>(y, a);
    if (gamma != T(0)) {
      const Mask<T> none = d == T(0);
      steepness -= select<T>(none, -y, xlogy<T>(y, a) / select<T>(none, splat(T(1)), d)) * gamma;
    }
    return T(0) - power<T>(d, gamma) * steepness;
  }
};

template <class T>
struct BinaryFocal {
  Focal<T> focal;

  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> d = T(1) - o.a;
    return T(0) - (focal.part(o.y, o.a, d) + focal.part(T(1) - o.y, d, o.a));
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const {
    const Vec<T> d = T(1) - o.a;
    return focal.slope(o.y, o.a, d) - focal.slope(T(1) - o.y, d, o.a);
  }
};

template <class T>
struct SigmoidBinaryFocal {
  T gamma;

  CLEARPROP_INLINE Vec<T> value(const Output<T>& o) const {
    const Vec<T> up = power<T>(expit<T>(-o.z), gamma) * weighted<T>(o.y, softplus<T>(-o.z));
    const Vec<T> down = power<T>(expit<T>(o.z), gamma) * weighted<T>(T(1) - o.y, softplus<T>(o.z));
    return up + down;
  }
  CLEARPROP_INLINE Vec<T> error(const Output<T>& o) const {
    const Vec<T> p = expit<T>(o.z), q = expit<T>(-o.z);
    const Vec<T> up = q * power<T>(q, gamma) * focal_slope<T>(p, q, T(0) - softplus<T>(-o.z), gamma);
    const Vec<T> down = p * power<T>(p, gamma) * focal_slope<T>(q, p, T(0) - softplus<T>(o.z), gamma);
    return o.y * up - (T(1) - o.y) * down;
  }
};

// Costs of whole rows --------------------------------------------------------------------------------------

// y' = keep y + rest, the targets after label smoothing.
template <class T>
struct Targets {
  T keep, rest;

  Targets(const Cost& cost, Index n) : keep(static_cast<T>(1.0 - cost.label_smoothing)) {
    const bool one_of_many = cost.function == CostFunction::cross_entropy;
    rest = static_cast<T>(cost.label_smoothing / (one_of_many ? static_cast<double>(n) : 2.0));
  }
  CLEARPROP_INLINE Vec<T> operator()(Vec<T> y) const { return y * keep + rest; }
};

// z_j minus the largest z of the row, infinities counting as a quarter of the largest number; where that
// makes a_j impossible, -inf.
template <class T>
CLEARPROP_INLINE Vec<T> below(Vec<T> z, Vec<T> top) {
  constexpr T big = Format<T>::big;
  const Vec<T> d = at_most<T>(at_least<T>(z, splat(-big)), splat(big)) - top;
  return select<T>(d < T(-big / 2), splat(-std::numeric_limits<T>::infinity()), d);
}

// One example per lane: C_x is returned, and its error times `factor` put into delta.
template <class T>
struct Examples {
  Across<T> z, a, y;
  Into<T> delta;
  Vec<T> factor;
  Index n;
};

// C_x = -sum_j y_j (1 - a_j)^gamma ln a_j, ln a_j = z_j - top + ln(largest a).
template <class T>
struct SoftmaxFocal {
  T gamma;

  template <bool values, bool errors>
  CLEARPROP_INLINE Vec<T> example(const Targets<T>& targets, const Examples<T>& e) const {
    constexpr T big = Format<T>::big;
    Vec<T> top = splat(-big), largest_a{}, value{}, sum{};
    for (Index j = 0; j < e.n; ++j) {
      top = at_least<T>(e.z(j), top);
      largest_a = at_least<T>(e.a(j), largest_a);
    }
    top = at_most<T>(top, splat(big));
    const Vec<T> log_largest = log<T>(largest_a);
    const auto each = [&](Index j) {
      const Vec<T> y = targets(e.y(j)), log_a = below<T>(e.z(j), top) + log_largest;
      const Vec<T> d = T(0) - expm1_capped<T>(log_a), share = power<T>(d, gamma);
      value -= share * weighted<T>(y, log_a);
      return y * share * focal_slope<T>(e.a(j), d, log_a, gamma);
    };
    for (Index j = 0; j < e.n; ++j) sum += each(j);
    const Vec<T> found = value;
    if constexpr (errors) {
      for (Index j = 0; j < e.n; ++j) e.delta.put(j, (each(j) - e.a(j) * sum) * e.factor);
    }
    return found;
  }
};

// C_x = -sum_j y_j ln(sigma(u_{j+1}) - sigma(u_j)).
template <class T>
struct OrdinalCrossEntropy {
  template <bool values, bool errors>
  CLEARPROP_INLINE Vec<T> example(const Targets<T>& targets, const Examples<T>& e) const {
    Vec<T> value{};
    if constexpr (values) {
      Margins<T> margins(e.z, e.n);
      Vec<T> u = margins.next(1);
      value = weighted<T>(targets(e.y(0)), softplus<T>(-u));
      for (Index j = 1; j < e.n - 1; ++j) {
        const Vec<T> above = margins.next(j + 1), gap = held_for_sums<T>(e.z(j + 1), e.n);
        value += weighted<T>(targets(e.y(j)), softplus<T>(-above) + softplus<T>(u) + softplus<T>(-gap));
        u = above;
      }
      value += weighted<T>(targets(e.y(e.n - 1)), softplus<T>(u));
    }
    if constexpr (errors) {
      const auto G = [&](Index j) { return (T(0) - targets(e.y(j))) * e.factor; };
      through_margins<T>(e.z, G, e.delta, e.n);
    }
    return value;
  }
};

struct SoftmaxCrossEntropy {};

// Which is which -------------------------------------------------------------------------------------------

// Calls use(cost of one output, share), C_x being the sum over the outputs times `share`; or, where a fused cost
// is of all outputs together, whole(cost of an example). `Quantiles` is the pinball cost of the caller's layout.
template <class T, class Quantiles, class Use, class Whole>
CLEARPROP_INLINE void with_cost(const Cost& cost, const Quantiles& pinball, Index n, const Use& use,
                                const Whole& whole) {
  const T one = T(1), mean = one / static_cast<T>(n), option = static_cast<T>(cost.option);
  switch (cost.function) {
    case CostFunction::quadratic: return use(Quadratic<T>{}, one);
    case CostFunction::mean_squared_error: return use(SquaredError<T>{}, mean);
    case CostFunction::mean_absolute_error: return use(AbsoluteError<T>{}, mean);
    case CostFunction::huber: return use(Huber<T>{splat(option)}, mean);
    case CostFunction::log_cosh: return use(LogCosh<T>{}, mean);
    case CostFunction::pinball: return use(pinball, mean);
    case CostFunction::poisson:
      return cost.fused ? use(ExponentialPoisson<T>{}, one) : use(Poisson<T>{}, one);
    case CostFunction::binary_cross_entropy:
      return cost.fused ? use(SigmoidBinaryCrossEntropy<T>{}, one) : use(BinaryCrossEntropy<T>{}, one);
    case CostFunction::cross_entropy:
      if (!cost.fused) return use(CrossEntropy<T>{}, one);
      return cost.ordinal ? whole(OrdinalCrossEntropy<T>{}) : whole(SoftmaxCrossEntropy{});
    case CostFunction::hinge: return use(Hinge<T>{}, one);
    case CostFunction::squared_hinge: return use(SquaredHinge<T>{}, one);
    case CostFunction::focal: return cost.fused ? whole(SoftmaxFocal<T>{option}) : use(Focal<T>{option}, one);
    case CostFunction::binary_focal:
      return cost.fused ? use(SigmoidBinaryFocal<T>{option}, one) : use(BinaryFocal<T>{{option}}, one);
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
