// The forward product for a handful of examples, on weights as they lie in theta.
//
//   z = a_prev W^T + b        W (n, depth) row-major, read once and in place
//
// Packing weights into panels reads and writes all of them, which pays only where the panels are used many
// times. Here each z is the dot product of a row of W with an example: the sum of whole vectors in the order of
// the inputs, then of the lanes. Several neurons side by side keep additions from waiting for one another; the
// order of a sum is the same for every neuron, wherever it stands.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// The last vector of a row that is no whole number of vectors begins where it ends with the row, and lanes that
// an earlier one has counted are left out.
template <class T>
struct Rest {
  Index at;
  Mask<T> lanes;
  CLEARPROP_INLINE explicit Rest(Index depth)
      : at(depth - kLanes<T>), lanes(~first<T>(-depth & (kLanes<T> - 1))) {}
  CLEARPROP_INLINE Vec<T> of(const T* row) const { return select<T>(lanes, load(row + at), Vec<T>{}); }
};

template <class T, int kRows, int kNeurons>
CLEARPROP_INLINE void few_rows_block(const FewRowsTask<T>& p, Index neuron) {
  const T* W = p.W + neuron * p.depth;
  Vec<T> sums[kNeurons][kRows] = {};
  const auto add = [&](const auto& part_of) {
    Vec<T> x[kRows];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) x[i] = part_of(p.a + i * p.a_row);
#pragma GCC unroll 8
    for (int j = 0; j < kNeurons; ++j) {
      const Vec<T> w = part_of(W + j * p.depth);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) sums[j][i] = fused<T>(w, x[i], sums[j][i]);
    }
  };
  const Index whole = p.depth / kLanes<T> * kLanes<T>;
  for (Index k = 0; k < whole; k += kLanes<T>) add([k](const T* row) { return load(row + k); });
  if (whole < p.depth) {
    const Rest<T> rest(p.depth);
    add([&rest](const T* row) { return rest.of(row); });
  }
#pragma GCC unroll 8
  for (int j = 0; j < kNeurons; ++j) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      p.z[i * p.z_row + neuron + j] = sum<T>(sums[j][i]) + (p.b != nullptr ? p.b[neuron + j] : T(0));
    }
  }
}

template <class T, int kRows>
void few_rows_of(const FewRowsTask<T>& p) {
  constexpr int kNeurons = kRows <= 2 || kRegisters == 32 ? 4 : 2;
  Index neuron = 0;
  for (; neuron + kNeurons <= p.n; neuron += kNeurons) few_rows_block<T, kRows, kNeurons>(p, neuron);
  for (; neuron < p.n; ++neuron) few_rows_block<T, kRows, 1>(p, neuron);
}

// Rows of W shorter than a vector, number by number.
template <class T>
void few_rows_narrow(const FewRowsTask<T>& p) {
  for (Index i = 0; i < p.rows; ++i) {
    for (Index j = 0; j < p.n; ++j) {
      T total = p.b != nullptr ? p.b[j] : T(0);
      for (Index k = 0; k < p.depth; ++k) total += p.W[j * p.depth + k] * p.a[i * p.a_row + k];
      p.z[i * p.z_row + j] = total;
    }
  }
}

// z of 1 to kFewRows examples; columns from n on stay as they are.
template <class T>
void few_rows_product(const FewRowsTask<T>& p) {
  if (p.depth < kLanes<T>) return few_rows_narrow(p);
  switch (p.rows) {
    case 1: return few_rows_of<T, 1>(p);
    case 2: return few_rows_of<T, 2>(p);
    case 3: return few_rows_of<T, 3>(p);
    default: return few_rows_of<T, 4>(p);
  }
}

// Whether no number is NaN or infinite: x - x is 0 for all others.
template <class T>
bool all_finite(const T* x, Index count) {
  constexpr int kAbreast = 4;
  Vec<T> apart[kAbreast] = {};
  Index i = 0;
  for (; i + kAbreast * kLanes<T> <= count; i += kAbreast * kLanes<T>) {
#pragma GCC unroll 4
    for (int j = 0; j < kAbreast; ++j) {
      const Vec<T> v = load(x + i + j * kLanes<T>);
      apart[j] += v - v;
    }
  }
  T rest = 0;
  for (; i < count; ++i) rest += x[i] - x[i];
  return sum<T>((apart[0] + apart[1]) + (apart[2] + apart[3])) + rest == T(0);
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
