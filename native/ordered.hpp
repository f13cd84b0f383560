// What stands in an order: outputs that rise from neuron to neuron, and the cut points of ordered classes.
//
// The formulas are those of clearprop/ordering.py. Each is a sum that runs along the neurons, so the examples
// lie in the lanes, whichever way the array lies.
#pragma once

#include "math.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// Neuron j of as many examples as there are lanes: side by side in memory (`lane` is 1), or collected from rows,
// where lanes without an example repeat the last one and are not stored.
template <class T>
struct Across {
  const T* from;
  Index unit, lane;
  Index count;

  CLEARPROP_INLINE Vec<T> operator()(Index j) const {
    const T* at = from + j * unit;
    if (lane == 1) return load(at);
    T lanes[kLanes<T>];
    for (Index i = 0; i < kLanes<T>; ++i) lanes[i] = at[(i < count ? i : count - 1) * lane];
    return load<T>(lanes);
  }
};

template <class T>
struct Into {
  T* to;
  Index unit, lane;
  Index count;

  CLEARPROP_INLINE Vec<T> operator()(Index j) const { return Across<T>{to, unit, lane, count}(j); }
  CLEARPROP_INLINE void put(Index j, Vec<T> x) const {
    T* at = to + j * unit;
    if (lane == 1) return store(at, x);
    for (Index i = 0; i < count; ++i) at[i * lane] = x[i];
  }
};

// Calls use(first row, rows, step) for as many rows as there are lanes at a time.
template <class T, class Use>
CLEARPROP_INLINE void each_group(Index rows, const Use& use) {
  for (Index x = 0; x < rows; x += kLanes<T>) use(x, rows - x < kLanes<T> ? rows - x : kLanes<T>);
}

template <class T>
CLEARPROP_INLINE void clear_padding(T* row, Index rows, Index n, Index ld) {
  for (Index x = 0; x < rows; ++x, row += ld) {
    for (Index j = n; j < ld; ++j) row[j] = T(0);
  }
}

// z with infinities as numbers so large that no sum of n overflows.
template <class T>
CLEARPROP_INLINE Vec<T> held_for_sums(Vec<T> z, Index n) {
  const Vec<T> big = splat(Format<T>::big / static_cast<T>(n));
  return at_most<T>(at_least<T>(z, -big), big);
}

// Increasing: a_0 = z_0, a_j = a_{j-1} + softplus(z_j) -----------------------------------------------------

template <class T>
void increasing_value(const Across<T>& z, const Into<T>& a, Index n) {
  const Vec<T> first = held_for_sums<T>(z(0), n);
  Vec<T> sum{};
  a.put(0, first);
  for (Index j = 1; j < n; ++j) {
    sum += softplus<T>(held_for_sums<T>(z(j), n));
    a.put(j, first + sum);
  }
}

// delta: dC_da on entry, dC_dz on return.
template <class T>
void increasing_slope(const Across<T>& z, const Into<T>& delta, Index n) {
  Vec<T> g{};
  for (Index j = n - 1; j > 0; --j) {
    g += delta(j);
    delta.put(j, g * expit<T>(z(j)));
  }
  delta.put(0, g + delta(0));
}

// Ordinal: a_j = sigma(u_{j+1}) - sigma(u_j) ---------------------------------------------------------------

// u_1, u_2, …: the cut points minus the score.
template <class T>
struct Margins {
  const Across<T>& z;
  Index n;
  Vec<T> first, sum{};

  CLEARPROP_INLINE Margins(const Across<T>& z_, Index n_)
      : z(z_), n(n_), first(held_for_sums<T>(z(1), n) - held_for_sums<T>(z(0), n)) {}

  // u_j from the sum up to u_{j-1}.
  CLEARPROP_INLINE Vec<T> next(Index j) {
    if (j > 1) sum += softplus<T>(held_for_sums<T>(z(j), n));
    return first + sum;
  }
};

template <class T>
void ordinal_value(const Across<T>& z, const Into<T>& a, Index n) {
  Margins<T> margins(z, n);
  Vec<T> u = margins.next(1);
  a.put(0, expit<T>(u));
  for (Index j = 1; j < n - 1; ++j) {
    const Vec<T> above = margins.next(j + 1);
    a.put(j, expit<T>(above) * expit<T>(-u) * expit<T>(z(j + 1)));
    u = above;
  }
  a.put(n - 1, expit<T>(-u));
}

// dC_dz, where G(j) is dC/d(ln a_j). The margins are summed forward and wanted backward: a stretch of them is
// kept at a time, so that no memory is asked for. `into` may hold what G(j - 1) is made of until j is put.
template <class T, class Gradient>
void through_margins(const Across<T>& z, const Gradient& G, const Into<T>& into, Index n) {
  constexpr Index kStretch = 32;
  Vec<T> R{}, G_here = G(n - 1);
  for (Index end = n; end > 1;) {
    const Index begin = end - kStretch > 1 ? end - kStretch : 1;
    Vec<T> u[kStretch];
    Margins<T> margins(z, n);
    for (Index j = 1; j < end; ++j) {
      const Vec<T> each = margins.next(j);
      if (j >= begin) u[j - begin] = each;
    }
    for (Index j = end - 1; j >= begin; --j) {
      const Vec<T> G_below = G(j - 1);
      R += G_below * expit<T>(-u[j - begin]) - G_here * expit<T>(u[j - begin]);
      into.put(j, j == 1 ? R : expit<T>(z(j)) * R + expit<T>(-z(j)) * G_below);
      G_here = G_below;
    }
    end = begin;
  }
  into.put(0, -R);
}

// delta: dC_da on entry, dC_dz on return.
template <class T>
void ordinal_slope(const Across<T>& z, const Across<T>& a, const Into<T>& delta, Index n) {
  through_margins<T>(z, [&](Index j) { return delta(j) * a(j); }, delta, n);
}

// The whole layer, in rows or with the examples side by side -----------------------------------------------

// (rows, ld), n real columns.
template <class T>
void ordered_forward(Function f, const T* z, T* a, Index rows, Index n, Index ld) {
  each_group<T>(rows, [&](Index x, Index count) {
    const Across<T> from{z + x * ld, 1, ld, count};
    const Into<T> to{a + x * ld, 1, ld, count};
    f == Function::ordinal ? ordinal_value<T>(from, to, n) : increasing_value<T>(from, to, n);
  });
  clear_padding(a, rows, n, ld);
}

template <class T>
void ordered_backward(Function f, const T* z, const T* a, T* delta, Index rows, Index n, Index ld) {
  each_group<T>(rows, [&](Index x, Index count) {
    const Across<T> z_at{z + x * ld, 1, ld, count}, a_at{a + x * ld, 1, ld, count};
    const Into<T> to{delta + x * ld, 1, ld, count};
    f == Function::ordinal ? ordinal_slope<T>(z_at, a_at, to, n) : increasing_slope<T>(z_at, to, n);
  });
  clear_padding(delta, rows, n, ld);
}

// (n, width): one row per neuron.
template <class T>
void lanes_ordered_forward(Function f, const T* z, T* a, Index n, Index width) {
  for (Index x = 0; x < width; x += kLanes<T>) {
    const Across<T> from{z + x, width, 1, kLanes<T>};
    const Into<T> to{a + x, width, 1, kLanes<T>};
    f == Function::ordinal ? ordinal_value<T>(from, to, n) : increasing_value<T>(from, to, n);
  }
}

template <class T>
void lanes_ordered_backward(Function f, const T* z, const T* a, T* delta, Index n, Index width) {
  for (Index x = 0; x < width; x += kLanes<T>) {
    const Across<T> z_at{z + x, width, 1, kLanes<T>}, a_at{a + x, width, 1, kLanes<T>};
    const Into<T> to{delta + x, width, 1, kLanes<T>};
    f == Function::ordinal ? ordinal_slope<T>(z_at, a_at, to, n) : increasing_slope<T>(z_at, to, n);
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
