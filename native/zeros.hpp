// The products of products.hpp for an a with many zeros: background pixels, categories that are not the one,
// units at rest behind relu, what dropout took away.
//
// A term whose factor is 0 adds nothing, so it is left out; the others are added in the order of the dense
// tiles. The result has the same bits, but for the sign of a zero, wherever a dense tile has one accumulator
// per number (four rows or more). An infinite weight times a zero is left out, too, where the dense product
// would have NaN.
//
// Forward and back: row x of a has a list of the columns that are not zero; blocks of kZerosBlock rows of a panel
// stay in the first cache while the rows of the batch go by. Few rows and a narrow layer: two rows at a time, by
// the bits of their columns. Gradient: zeros_gradient.hpp.
#pragma once

#include "products.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// Inputs whose weights in four vectors of panels fill 32 KB: a multiple of 64.
constexpr Index kZerosBlock = 128 * 64 / kBytes;

// Which of the first count (at most 64) numbers are not zero, the first one in the lowest bit.
template <class T>
CLEARPROP_INLINE std::uint64_t nonzero_word(const T* x, Index count) {
  std::uint64_t word = 0;
  Index i = 0;
#if defined(__AVX512F__)
  const Index whole = count / kLanes<T> * kLanes<T>;
  for (; i < whole; i += kLanes<T>) {
    std::uint64_t some;
    if constexpr (sizeof(T) == 4) {
      some = _mm512_cmp_ps_mask((__m512)load(x + i), _mm512_setzero_ps(), _CMP_NEQ_UQ);
    } else {
      some = _mm512_cmp_pd_mask((__m512d)load(x + i), _mm512_setzero_pd(), _CMP_NEQ_UQ);
    }
    word |= some << i;
  }
#elif defined(__AVX2__)
  const Index whole = count / kLanes<T> * kLanes<T>;
  for (; i < whole; i += kLanes<T>) {
    std::uint64_t some;
    if constexpr (sizeof(T) == 4) {
      const __m256 differs = _mm256_cmp_ps((__m256)load(x + i), _mm256_setzero_ps(), _CMP_NEQ_UQ);
      some = static_cast<unsigned>(_mm256_movemask_ps(differs));
    } else {
      const __m256d differs = _mm256_cmp_pd((__m256d)load(x + i), _mm256_setzero_pd(), _CMP_NEQ_UQ);
      some = static_cast<unsigned>(_mm256_movemask_pd(differs));
    }
    word |= some << i;
  }
#endif
  for (; i < count; ++i) word |= static_cast<std::uint64_t>(x[i] != T(0)) << i;
  return word;
}

// Appends the places of the bits of a word, counted from `from`, to a list; writes up to 16 beyond its end.
CLEARPROP_INLINE std::uint32_t* append_places(std::uint64_t word, std::uint32_t from, std::uint32_t* end) {
#if defined(__AVX512F__)
  __m512i place = _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                   _mm512_set1_epi32(static_cast<int>(from)));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto some = static_cast<__mmask16>(word >> (16 * i));
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi32(some, place));
    end += __builtin_popcount(some);
    place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
  }
#else
  for (; word != 0; word &= word - 1) {
    *end++ = from + static_cast<std::uint32_t>(__builtin_ctzll(word));
  }
#endif
  return end;
}

// The bits of rows [row0, row1) of a (rows, n), and the lists if there is room for them; returns how many numbers
// are not zero.
template <class T>
Index find_nonzeros(const T* a, Index a_row, Index n, const Nonzeros& to, Index row0, Index row1) {
  Index total = 0;
  if (to.columns == nullptr) {
    for (Index x = row0; x < row1; ++x) {
      for (Index k = 0; k < n; k += 64) {
        const std::uint64_t word = nonzero_word(a + x * a_row + k, n - k < 64 ? n - k : 64);
        to.bits[x * to.words + k / 64] = word;
        total += __builtin_popcountll(word);
      }
    }
    return total;
  }
  for (Index x = row0; x < row1; ++x) {
    const T* row = a + x * a_row;
    std::uint32_t* const list = to.columns + x * to.room;
    std::uint32_t* end = list;
    std::uint32_t* start = to.starts + x * (to.blocks + 1);
    for (Index k = 0; k < n; k += 64) {
      if (k % kZerosBlock == 0) *start++ = static_cast<std::uint32_t>(end - list);
      const std::uint64_t word = nonzero_word(row + k, n - k < 64 ? n - k : 64);
      to.bits[x * to.words + k / 64] = word;
      end = append_places(word, static_cast<std::uint32_t>(k), end);
    }
    *start = static_cast<std::uint32_t>(end - list);
    total += end - list;
  }
  return total;
}

// c += x times the kVectors vectors of a panel's row; the second panel begins `next` after the first.
template <class T, int kVectors>
CLEARPROP_INLINE void add_multiple(T x, const T* w, Index next, Vec<T> (&c)[kVectors]) {
  const Vec<T> factor = splat(x);
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    c[j] = fused<T>(factor, load(w + (j / 2) * next + (j % 2) * kLanes<T>), c[j]);
  }
}

template <class T, int kVectors>
CLEARPROP_INLINE void begin_row(const RowsTask<T>& p, Index block, const T* panel, Index width, Index next,
                                const T* out, Vec<T> (&c)[kVectors]) {
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    const Index lane = (j % 2) * kLanes<T>;
    if (block > 0) {
      c[j] = load(out + j * kLanes<T>);
    } else if (p.begin == Begin::bias) {
      c[j] = load(panel + p.depth * width + (j / 2) * next + lane);
    } else {
      c[j] = Vec<T>{};
    }
  }
}

// One block of inputs, rows [row0, row1), kVectors vectors of the result. Two rows at a time, so that the sums
// of one need not wait for those of the other.
template <class T, int kVectors>
void rows_block(const RowsTask<T>& p, const Nonzeros& found, Index block, const T* panel, Index column,
                Index row0, Index row1) {
  const Index width = kVectors == 1 ? kLanes<T> : kPanel<T>, next = p.panel_depth * kPanel<T>;
  const auto list = [&](Index x, Index& count) {
    const std::uint32_t* start = found.starts + x * (found.blocks + 1) + block;
    count = start[1] - start[0];
    return found.columns + x * found.room + start[0];
  };
  const auto finish = [](T* out, const Vec<T>(&c)[kVectors]) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(out + j * kLanes<T>, c[j]);
  };
  Index x = row0;
  for (; x + 2 <= row1; x += 2) {
    Index n0, n1;
    const std::uint32_t *list0 = list(x, n0), *list1 = list(x + 1, n1);
    const T *a0 = p.a + x * p.a_row, *a1 = a0 + p.a_row;
    T *out0 = p.out + x * p.out_row + column, *out1 = out0 + p.out_row;
    Vec<T> c0[kVectors], c1[kVectors];
    begin_row(p, block, panel, width, next, out0, c0);
    begin_row(p, block, panel, width, next, out1, c1);
    const Index both = n0 < n1 ? n0 : n1;
    Index t = 0;
    for (; t < both; ++t) {
      const Index k0 = list0[t], k1 = list1[t];
      add_multiple<T, kVectors>(a0[k0], panel + k0 * width, next, c0);
      add_multiple<T, kVectors>(a1[k1], panel + k1 * width, next, c1);
    }
    for (Index i = t; i < n0; ++i)
      add_multiple<T, kVectors>(a0[list0[i]], panel + list0[i] * width, next, c0);
    for (Index i = t; i < n1; ++i)
      add_multiple<T, kVectors>(a1[list1[i]], panel + list1[i] * width, next, c1);
    finish(out0, c0);
    finish(out1, c1);
  }
  if (x < row1) {
    Index count;
    const std::uint32_t* one = list(x, count);
    const T* a = p.a + x * p.a_row;
    T* out = p.out + x * p.out_row + column;
    Vec<T> c[kVectors];
    begin_row(p, block, panel, width, next, out, c);
    Index t = 0;
    if (p.rows ==
        1) {  // two sums side by side; with more rows who is alone depends on how they are shared out
      Vec<T> other[kVectors] = {};
      for (; t + 2 <= count; t += 2) {
        add_multiple<T, kVectors>(a[one[t]], panel + one[t] * width, next, c);
        add_multiple<T, kVectors>(a[one[t + 1]], panel + one[t + 1] * width, next, other);
      }
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) c[j] += other[j];
    }
    for (; t < count; ++t) add_multiple<T, kVectors>(a[one[t]], panel + one[t] * width, next, c);
    finish(out, c);
  }
}

// Rows [row0, row1) of a result of one panel, two at a time, by the bits of both.
template <class T, int kVectors>
void rows_in_pairs(const RowsTask<T>& p, const Nonzeros& found, const T* panel, Index column, Index row0,
                   Index row1) {
  constexpr Index width = kVectors * kLanes<T>;
  for (Index x = row0; x < row1; x += 2) {
    const Index next = x + 1 < row1 ? 1 : 0;  // the last row may be its own pair: then it is done twice
    const T *a0 = p.a + x * p.a_row, *a1 = a0 + next * p.a_row;
    T *out0 = p.out + x * p.out_row + column, *out1 = out0 + next * p.out_row;
    const std::uint64_t *bits0 = found.bits + x * found.words, *bits1 = bits0 + next * found.words;
    Vec<T> c0[kVectors], c1[kVectors];
    begin_row(p, 0, panel, width, 0, out0, c0);
    begin_row(p, 0, panel, width, 0, out1, c1);
    for (Index word = 0; word < found.words; ++word) {
      const T *x0 = a0 + 64 * word, *x1 = a1 + 64 * word, *w = panel + 64 * word * width;
      for (std::uint64_t set = bits0[word] | bits1[word]; set != 0; set &= set - 1) {
        const Index k = __builtin_ctzll(set);
        add_multiple<T, kVectors>(x0[k], w + k * width, 0, c0);
        add_multiple<T, kVectors>(x1[k], w + k * width, 0, c1);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      store(out0 + j * kLanes<T>, c0[j]);
      store(out1 + j * kLanes<T>, c1[j]);
    }
  }
}

// z = a panels (+ biases) for rows [row0, row1), whose nonzeros have been found.
template <class T>
void rows_product_of_nonzeros(const RowsTask<T>& p, const Nonzeros& found, Index row0, Index row1) {
  const Index panels = panel_count<T>(p.n);
  for (Index i = 0; i < panels;) {
    const T* panel = p.panels + i * p.panel_depth * kPanel<T>;
    const Index column = i * kPanel<T>;
    const bool wide = panel_width<T>(p.n, i) == kPanel<T>;
    if (found.columns == nullptr) {
      wide ? rows_in_pairs<T, 2>(p, found, panel, column, row0, row1)
           : rows_in_pairs<T, 1>(p, found, panel, column, row0, row1);
      ++i;
      continue;
    }
    const bool pair = i + 1 < panels && panel_width<T>(p.n, i + 1) == kPanel<T>;
    for (Index block = 0; block < found.blocks; ++block) {
      if (pair) {
        rows_block<T, 4>(p, found, block, panel, column, row0, row1);
      } else if (wide) {
        rows_block<T, 2>(p, found, block, panel, column, row0, row1);
      } else {
        rows_block<T, 1>(p, found, block, panel, column, row0, row1);
      }
    }
    i += pair ? 2 : 1;
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
