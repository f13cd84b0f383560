// dC_dW and dC_db of a small network's layers, from matrices with the examples in the lanes (lanes.hpp).
//
// A weight's gradient is a sum over the examples. Either there is one vector of sums per weight, over the vectors
// of the batch, and then as many of them as there are lanes are added up at once, by transposing them; that is a
// fixed cost for each weight. Or the units of one side are turned into rows first, which costs something for each
// example. The engine chooses by the shape.
#pragma once

#include "lanes.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

constexpr int kSumRows = kRegisters == 32 ? 4 : 3;

// Tiles of the units of both sides: sums[q][p] += slow_q fast_p over the vectors of the batch.
template <class T, int kRows, int kColumns>
CLEARPROP_INLINE void lanes_sums_tile(const LanesGradient<T>& g, Index q, Index p) {
  Vec<T> c[kRows][kColumns];
  T* sums = g.into + (q * g.n_fast + p) * kLanes<T>;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int s = 0; s < kColumns; ++s) {
      c[r][s] = g.first ? Vec<T>{} : load(sums + (r * g.n_fast + s) * kLanes<T>);
    }
  }
  const T* slow = g.slow + q * g.width;
  const T* fast = g.fast + p * g.width;
  for (Index x = 0; x < g.width; x += kLanes<T>) {
    Vec<T> in[kColumns];
#pragma GCC unroll 4
    for (int s = 0; s < kColumns; ++s) in[s] = load(fast + s * g.width + x);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> d = load(slow + r * g.width + x);
#pragma GCC unroll 4
      for (int s = 0; s < kColumns; ++s) c[r][s] = fused<T>(d, in[s], c[r][s]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int s = 0; s < kColumns; ++s) store(sums + (r * g.n_fast + s) * kLanes<T>, c[r][s]);
  }
}

template <class T, int kRows>
void lanes_sums_row(const LanesGradient<T>& shared, Index q) {
  const LanesGradient<T> g = shared;
  Index p = 0;
  for (; p + kSumRows <= g.n_fast; p += kSumRows) lanes_sums_tile<T, kRows, kSumRows>(g, q, p);
  switch (g.n_fast - p) {
    case 3: return lanes_sums_tile<T, kRows, kSumRows == 4 ? 3 : 1>(g, q, p);
    case 2: return lanes_sums_tile<T, kRows, 2>(g, q, p);
    case 1: return lanes_sums_tile<T, kRows, 1>(g, q, p);
    default: return;
  }
}

// The sums of dC_dW of one layer over one stretch of the batch, a vector each.
template <class T>
void lanes_sums(const LanesGradient<T>& g) {
  Index q = 0;
  for (; q + kSumRows <= g.n_slow; q += kSumRows) lanes_sums_row<T, kSumRows>(g, q);
  switch (g.n_slow - q) {
    case 3: return lanes_sums_row<T, kSumRows == 4 ? 3 : 1>(g, q);
    case 2: return lanes_sums_row<T, 2>(g, q);
    case 1: return lanes_sums_row<T, 1>(g, q);
    default: return;
  }
}

// The same of dC_db.
template <class T>
void lanes_bias_sums(const T* delta, Index n, Index width, T* sums, bool first) {
  for (Index j = 0; j < n; ++j) {
    Vec<T> c = first ? Vec<T>{} : load(sums + j * kLanes<T>);
    for (Index x = 0; x < width; x += kLanes<T>) c += load(delta + j * width + x);
    store(sums + j * kLanes<T>, c);
  }
}

// Units [unit, unit + a vector) of a matrix as rows, one vector for each example; beyond n anything finite.
template <class T>
CLEARPROP_INLINE void units_into_rows(const T* lanes, Index unit, Index n, Index width, Index rows, T* out) {
  const Index count = n - unit < kLanes<T> ? n - unit : kLanes<T>;
  if (rows < 4) {
    for (Index x = 0; x < rows; ++x) {
      for (Index i = 0; i < count; ++i) out[x * kLanes<T> + i] = lanes[(unit + i) * width + x];
    }
    return;
  }
  const T* row[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) row[i] = lanes + (unit + (i < count ? i : count - 1)) * width;
  for (Index x = 0; x < width; x += kLanes<T>) {
    Vec<T> v[kLanes<T>];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) v[i] = load(row[i] + x);
    transpose_lanes<T>(v);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) store(out + (x + i) * kLanes<T>, v[i]);
  }
}

template <class T, int kRows>
CLEARPROP_INLINE void lanes_rows_tile(const LanesGradient<T>& g, Index q, Index p, Index count) {
  Vec<T> c[kRows] = {};
  const T* slow = g.slow + q * g.width;
  for (Index x = 0; x < g.rows; ++x) {
    const Vec<T> v = load(g.room + x * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) c[r] = fused<T>(splat(slow[r * g.width + x]), v, c[r]);
  }
  T* into = g.into + q * g.n_fast + p;
  const Vec<T> scale = splat(static_cast<T>(g.scale));
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r, into += g.n_fast) {
    if (count >= kLanes<T>) {
      store(into, c[r] * scale);
      continue;
    }
    T some[kLanes<T>];
    store(some, c[r] * scale);
    for (Index i = 0; i < count; ++i) into[i] = some[i];
  }
}

// dC_dW of one layer at once: the units of the fast side are turned into rows, which are then what lies in the
// lanes, and nothing is left to be added up. For few examples, where that is less work than adding up lanes.
template <class T>
void lanes_by_rows(const LanesGradient<T>& shared) {
  const LanesGradient<T> g = shared;
  for (Index p = 0; p < g.n_fast; p += kLanes<T>) {
    units_into_rows<T>(g.fast, p, g.n_fast, g.width, g.rows, g.room);
    Index q = 0;
    for (; q + 8 <= g.n_slow; q += 8) lanes_rows_tile<T, 8>(g, q, p, g.n_fast - p);
    if (q + 4 <= g.n_slow) {
      lanes_rows_tile<T, 4>(g, q, p, g.n_fast - p);
      q += 4;
    }
    for (; q < g.n_slow; ++q) lanes_rows_tile<T, 1>(g, q, p, g.n_fast - p);
  }
}

// Adds to each lane of two vectors the one `half` away; of the two equal sums the first keeps a's where the bit
// `half` of the lane is unset, and b's where it is set.
template <class T, int half, int... lane>
CLEARPROP_INLINE Vec<T> sum_of_pairs(Vec<T> a, Vec<T> b, std::integer_sequence<int, lane...>) {
  constexpr int kSize = kLanes<T>;
  return __builtin_shufflevector(a, b, ((lane & half) == 0 ? lane : lane + kSize)...) +
         __builtin_shufflevector(a, b, ((lane & half) == 0 ? lane + half : lane - half + kSize)...);
}

// The sum of the lanes of as many vectors as there are lanes, side by side: each step halves what is left of
// them, always in the same order.
template <class T, int half = kLanes<T> / 2>
CLEARPROP_INLINE Vec<T> sum_of_each(Vec<T>* row) {
#pragma GCC unroll 8
  for (int i = 0; i < half; ++i) {
    row[i] = sum_of_pairs<T, half>(row[i], row[i + half], std::make_integer_sequence<int, kLanes<T>>());
  }
  if constexpr (half > 1) return sum_of_each<T, half / 2>(row);
  return row[0];
}

// gradient[i] = scale * the sum of the lanes of sums[i]; count in whole vectors.
template <class T>
void lanes_total(const T* sums, Index count, double scale, T* gradient) {
  const Vec<T> factor = splat(static_cast<T>(scale));
  for (Index i = 0; i < count; i += kLanes<T>) {
    Vec<T> row[kLanes<T>];
#pragma GCC unroll 16
    for (int r = 0; r < kLanes<T>; ++r) row[r] = load(sums + (i + r) * kLanes<T>);
    store(gradient + i, sum_of_each<T>(row) * factor);
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
