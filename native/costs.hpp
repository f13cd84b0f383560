// Costs C_x(a, y): one struct each with value and derivative of one output, and the loops over examples.
//
// The formulas are those of clearprop/costs. A fused cost is computed from z together with its output
// activation, whose a is at hand: its `error` is dC_x/dz, that of the others dC_x/da.
#pragma once

#include "math.hpp"

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

// Over the examples ----------------------------------------------------------------------------------------

// The arrays of a batch: (rows, ld), n real columns. weights and z may be null where nothing needs them.
template <class T>
struct Batch {
  const T *z, *a, *y, *weights;
  T* delta;
  double* values;
  Index rows, n, ld;

  CLEARPROP_INLINE T weight(Index x) const { return weights == nullptr ? T(1) : weights[x]; }
};

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

// C_x into values and the error into delta, each if wanted; over the k outputs it is the sum times `share`.
template <class T, bool values, bool errors, class C>
void each_example(const C& cost, const Targets<T>& targets, const Batch<T>& b, T share) {
  const Columns<T> columns(b.n);
  for (Index x = 0; x < b.rows; ++x) {
    const Index row = x * b.ld;
    const T factor = errors ? b.weight(x) * share : T(0);
    Vec<T> total{};
    columns.each([&](Index j, Mask<T> real) {
      const Vec<T> z = b.z == nullptr ? Vec<T>{} : load(b.z + row + j);
      const Output<T> o{z, load(b.a + row + j), targets(load(b.y + row + j)), j};
      if constexpr (values) total += select<T>(real, cost.value(o), Vec<T>{});
      if constexpr (errors) store(b.delta + row + j, select<T>(real, cost.error(o) * factor, Vec<T>{}));
    });
    if constexpr (values) b.values[x] = static_cast<double>(sum<T>(total) * share);
    if constexpr (errors) columns.clear_rest(b.delta + row, b.ld);
  }
}

// Softmax with cross-entropy -------------------------------------------------------------------------------

// z_j minus the largest z of the row, infinities counting as a quarter of the largest number; where that
// makes a_j impossible, -inf.
template <class T>
CLEARPROP_INLINE Vec<T> below(Vec<T> z, Vec<T> top) {
  constexpr T big = Format<T>::big;
  const Vec<T> d = at_most<T>(at_least<T>(z, splat(-big)), splat(big)) - top;
  return select<T>(d < T(-big / 2), splat(-std::numeric_limits<T>::infinity()), d);
}

// What the value of an example is made of: C_x = sum_j y'_j (ln S - (z_j - top)), where S is the sum of the
// exp(z_j - top) and the largest a is 1 / S.
template <class T>
struct Parts {
  Vec<T> weight, product, largest_a;
};

template <class T, bool values, bool errors>
CLEARPROP_INLINE Parts<T> softmax_example(const Targets<T>& targets, const Batch<T>& b,
                                          const Columns<T>& columns, Index x) {
  constexpr T big = Format<T>::big;
  const Index row = x * b.ld;
  Parts<T> parts{};
  Vec<T> top = splat(-big);
  columns.each([&](Index j, Mask<T> real) {
    parts.weight += select<T>(real, targets(load(b.y + row + j)), Vec<T>{});
    if constexpr (values) {
      top = at_least<T>(select<T>(real, load(b.z + row + j), top), top);
      parts.largest_a = at_least<T>(select<T>(real, load(b.a + row + j), Vec<T>{}), parts.largest_a);
    }
  });
  parts.weight = sum_everywhere<T>(parts.weight);
  if constexpr (values) top = at_most<T>(largest_everywhere<T>(top), splat(big));
  const T factor = errors ? b.weight(x) : T(0);
  columns.each([&](Index j, Mask<T> real) {
    const Vec<T> y = targets(load(b.y + row + j));
    if constexpr (values) {
      const Vec<T> each = weighted<T>(y, below<T>(load(b.z + row + j), top));
      parts.product += select<T>(real, each, Vec<T>{});
    }
    if constexpr (errors) {
      const Vec<T> delta = (load(b.a + row + j) * parts.weight - y) * factor;
      store(b.delta + row + j, select<T>(real, delta, Vec<T>{}));
    }
  });
  if constexpr (errors) columns.clear_rest(b.delta + row, b.ld);
  return parts;
}

// The logarithms of as many examples as there are lanes are taken at once.
template <class T, bool values, bool errors>
void softmax_cross_entropy(const Targets<T>& targets, const Batch<T>& b) {
  const Columns<T> columns(b.n);
  for (Index begin = 0; begin < b.rows; begin += kLanes<T>) {
    T weight[kLanes<T>] = {}, product[kLanes<T>] = {}, largest_a[kLanes<T>] = {}, value[kLanes<T>];
    const Index count = b.rows - begin < kLanes<T> ? b.rows - begin : kLanes<T>;
    for (Index i = 0; i < count; ++i) {
      const Parts<T> parts = softmax_example<T, values, errors>(targets, b, columns, begin + i);
      if constexpr (values) {
        weight[i] = parts.weight[0];
        product[i] = sum<T>(parts.product);
        largest_a[i] = largest<T>(parts.largest_a);
      }
    }
    if constexpr (values) {
      store(value, T(0) - (load<T>(weight) * log<T>(load<T>(largest_a)) + load<T>(product)));
      for (Index i = 0; i < count; ++i) b.values[begin + i] = static_cast<double>(value[i]);
    }
  }
}

// A whole batch --------------------------------------------------------------------------------------------

template <class T, bool values, bool errors>
void evaluate(const Cost& cost, const Batch<T>& b) {
  const Targets<T> targets(cost, b.n);
  const T mean = T(1) / static_cast<T>(b.n);
  const auto use = [&](const auto& c, T share) { each_example<T, values, errors>(c, targets, b, share); };
  switch (cost.function) {
    case CostFunction::quadratic: return use(Quadratic<T>{}, T(1));
    case CostFunction::mean_squared_error: return use(SquaredError<T>{}, mean);
    case CostFunction::mean_absolute_error: return use(AbsoluteError<T>{}, mean);
    case CostFunction::huber: return use(Huber<T>{splat(static_cast<T>(cost.option))}, mean);
    case CostFunction::log_cosh: return use(LogCosh<T>{}, mean);
    case CostFunction::pinball: return use(Pinball<T>{cost.quantiles, cost.option, b.n}, mean);
    case CostFunction::poisson:
      return cost.fused ? use(ExponentialPoisson<T>{}, T(1)) : use(Poisson<T>{}, T(1));
    case CostFunction::binary_cross_entropy:
      return cost.fused ? use(SigmoidBinaryCrossEntropy<T>{}, T(1)) : use(BinaryCrossEntropy<T>{}, T(1));
    case CostFunction::cross_entropy:
      return cost.fused ? softmax_cross_entropy<T, values, errors>(targets, b) : use(CrossEntropy<T>{}, T(1));
    case CostFunction::hinge: return use(Hinge<T>{}, T(1));
    case CostFunction::squared_hinge: return use(SquaredHinge<T>{}, T(1));
  }
}

// C_x of each row, without weights. A fused cost takes z and a = f(z), the others a alone.
template <class T>
void cost_values(const Cost& cost, const T* z, const T* a, const T* y, double* values, Index rows, Index n,
                 Index ld) {
  evaluate<T, true, false>(cost, {z, a, y, nullptr, nullptr, values, rows, n, ld});
}

// delta = dC_x/dz of a fused cost, else dC_x/da; each row times its weight, if given; 0 in padding.
template <class T>
void output_error(const Cost& cost, const T* z, const T* a, const T* y, const T* weights, T* delta,
                  Index rows, Index n, Index ld) {
  evaluate<T, false, true>(cost, {z, a, y, weights, delta, nullptr, rows, n, ld});
}

// Both in one pass.
template <class T>
void cost_and_error(const Cost& cost, const T* z, const T* a, const T* y, const T* weights, T* delta,
                    double* values, Index rows, Index n, Index ld) {
  evaluate<T, true, true>(cost, {z, a, y, weights, delta, values, rows, n, ld});
}

// How many examples are right ------------------------------------------------------------------------------

// The first of the largest; NaN counts as larger than any number.
template <class T>
Index index_of_largest(const T* x, Index n) {
  Index at = 0;
  for (Index j = 1; j < n && x[at] == x[at]; ++j) {
    if (!(x[j] <= x[at])) at = j;
  }
  return at;
}

template <class T>
bool same_sides(const T* a, const T* y, T middle, Index n) {
  bool same = true;
  for (Index j = 0; j < n; ++j) same = same && (a[j] > middle) == (y[j] > middle);
  return same;
}

// The first of the largest among n <= kLanes numbers; NaN only where `index_of_largest` has to tell.
template <class T>
CLEARPROP_INLINE Index narrow_index_of_largest(const T* p, Mask<T> real) {
  constexpr T kLow = -std::numeric_limits<T>::infinity();
  const Vec<T> v = select<T>(real, load(p), splat(kLow));
  const Mask<T> largest = v == largest_everywhere<T>(v);
  Vec<T> place;
  for (int i = 0; i < kLanes<T>; ++i) place[i] = T(kLanes<T> - i);
  return kLanes<T> - static_cast<Index>(largest_everywhere<T>(select<T>(largest & real, place, Vec<T>{}))[0]);
}

// Rows of one vector: NaN makes a sum NaN, and then the general way decides.
template <class T>
Index count_largest_narrow(const T* a, const T* y, Index rows, Index n, Index ld) {
  const Mask<T> real = first<T>(n);
  Index correct = 0;
  for (Index x = 0; x < rows; ++x, a += ld, y += ld) {
    const Vec<T> both = select<T>(real, load(a) + load(y), Vec<T>{});
    const bool ordered = sum<T>(both - both) == T(0);
    correct += ordered ? narrow_index_of_largest<T>(a, real) == narrow_index_of_largest<T>(y, real)
                       : index_of_largest(a, n) == index_of_largest(y, n);
  }
  return correct;
}

template <class T>
Index count_correct(Rule rule, double middle, const T* a, const T* y, Index rows, Index n, Index ld) {
  if (rule == Rule::none) return 0;
  if (rule == Rule::largest && n <= kLanes<T>) return count_largest_narrow(a, y, rows, n, ld);
  Index correct = 0;
  for (Index x = 0; x < rows; ++x, a += ld, y += ld) {
    correct += rule == Rule::largest ? index_of_largest(a, n) == index_of_largest(y, n)
                                     : same_sides(a, y, static_cast<T>(middle), n);
  }
  return correct;
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
