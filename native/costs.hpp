// Costs over the rows of a batch, and how many of its examples are right. The formulas: cost_functions.hpp.
#pragma once

#include "cost_functions.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

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
void each_row(SoftmaxCrossEntropy, const Targets<T>& targets, const Batch<T>& b) {
  softmax_cross_entropy<T, values, errors>(targets, b);
}

template <class T, bool values, bool errors, class C>
void each_row(const C& cost, const Targets<T>& targets, const Batch<T>& b) {
  each_group<T>(b.rows, [&](Index x, Index count) {
    const auto at = [&](const T* array) { return Across<T>{array + x * b.ld, 1, b.ld, count}; };
    Vec<T> factor = splat(T(1));
    for (Index i = 0; errors && i < count; ++i) factor[i] = b.weight(x + i);
    const Into<T> delta{errors ? b.delta + x * b.ld : nullptr, 1, b.ld, count};
    const Vec<T> value = cost.template example<values, errors>(
        targets, Examples<T>{at(b.z), at(b.a), at(b.y), delta, factor, b.n});
    for (Index i = 0; values && i < count; ++i) b.values[x + i] = static_cast<double>(value[i]);
  });
  if constexpr (errors) clear_padding(b.delta, b.rows, b.n, b.ld);
}

template <class T, bool values, bool errors>
void evaluate(const Cost& cost, const Batch<T>& b) {
  const Targets<T> targets(cost, b.n);
  with_cost<T>(
      cost, Pinball<T>{cost.quantiles, cost.option, b.n}, b.n,
      [&](const auto& c, T share) { each_example<T, values, errors>(c, targets, b, share); },
      [&](const auto& c) { each_row<T, values, errors>(c, targets, b); });
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
