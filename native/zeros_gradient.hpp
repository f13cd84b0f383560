// dC_dW for an a with many zeros: see zeros.hpp.
#pragma once

#include "optimizers.hpp"
#include "zeros.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// An 8x8 matrix of bits, a row to a byte, with rows and columns exchanged.
CLEARPROP_INLINE std::uint64_t transpose_bits(std::uint64_t x) {
  std::uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
  return x ^ t ^ (t << 28);
}

// One bit for each byte that is not zero.
CLEARPROP_INLINE std::uint64_t bytes_set(std::uint64_t x) {
  x |= x >> 4;
  x |= x >> 2;
  x |= x >> 1;
  return ((x & 0x0101010101010101ull) * 0x0102040810204080ull) >> 56;
}

// Writes the sets of eight units from `first` on: `block(x)` has a bit for each that is not zero in row x. Bytes
// beyond the rows stay as they are, zero.
template <class Block>
CLEARPROP_INLINE void write_sets(const Nonzeros& found, Index rows, Index first, Index count,
                                 const Block& block) {
  auto* sets = reinterpret_cast<unsigned char*>(found.sets);
  const Index row_bytes = found.row_words * 8;
  for (Index x = 0; x < rows; x += 8) {
    std::uint64_t matrix = 0;
    for (Index i = 0; i < 8 && x + i < rows; ++i) matrix |= block(x + i) << (8 * i);
    matrix = transpose_bits(matrix);
    for (Index i = 0; i < count; ++i) {
      sets[(first + i) * row_bytes + x / 8] = static_cast<unsigned char>(matrix >> (8 * i));
    }
  }
}

// The sets of rows of the inputs [input0, input1), for each of them, or for each 8: input0 is a multiple of 8.
static inline void rows_of_inputs(const Nonzeros& found, Index rows, Index input0, Index input1) {
  const auto* bits = reinterpret_cast<const unsigned char*>(found.bits);
  const Index from = found.words * 8;
  if (found.unit == 1) {
    for (Index k = input0; k < input1; k += 8) {
      write_sets(found, rows, k, 8, [&](Index x) { return std::uint64_t{bits[x * from + k / 8]}; });
    }
    return;
  }
  const Index unit1 = (input1 + 7) / 8;
  for (Index unit = input0 / 8; unit < unit1; unit += 8) {
    const Index count = unit1 - unit < 8 ? unit1 - unit : 8;
    write_sets(found, rows, unit, count, [&](Index x) {
      std::uint64_t eight = 0;
      std::memcpy(&eight, bits + x * from + unit, static_cast<std::size_t>(count));
      return bytes_set(eight);
    });
  }
}

// Whether a rule leaves a parameter as it is where the gradient is zero.
template <class Use>
struct ZeroMovesNothing {
  static constexpr bool value = false;
};
template <class T>
struct ZeroMovesNothing<UseAtOnce<T, SGDRule<T>, true>> {
  static constexpr bool value = true;
};

// c += a[x][k + i] delta[x] over the rows of one word of a set, for kInputs inputs.
template <class T, int kInputs, int kVectors>
CLEARPROP_INLINE void add_rows(std::uint64_t set, const T* a, Index a_row, const T* delta, Index delta_row,
                               Vec<T> (&c)[kInputs][kVectors]) {
  for (; set != 0; set &= set - 1) {
    const Index x = __builtin_ctzll(set);
    const T *factor = a + x * a_row, *row = delta + x * delta_row;
    Vec<T> d[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) d[j] = load(row + j * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < kInputs; ++i) {
      const Vec<T> f = splat(factor[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) c[i][j] = fused<T>(f, d[j], c[i][j]);
    }
  }
}

// Where the weights of a strip of kVectors vectors lie: input k, vector j.
template <class T, int kVectors>
struct Strip {
  Index column, first, next;
  CLEARPROP_INLINE Index at(Index k, int j) const {
    const Index width = kVectors == 1 ? kLanes<T> : kPanel<T>;
    return first + k * width + (j / 2) * next + (j % 2) * kLanes<T>;
  }
};

// One input at a time: up to kAtOnce of them go over 64 rows of delta, then over the next 64, with their sums
// on the stack in between, so that these rows stay in the first cache.
template <class T, class Use, int kVectors>
void gradient_by_input(const GradientProduct<T>& p, const Nonzeros& found, const Use& shared,
                       const Strip<T, kVectors>& strip, Index input0, Index input1) {
  constexpr Index kAtOnce = 32;
  const Use use = shared;
  const Vec<T> scale = splat(p.scale);
  Vec<T> sums[kAtOnce][kVectors];
  const Index last = found.row_words - 1;
  for (Index k0 = input0; k0 < input1; k0 += kAtOnce) {
    const Index k1 = k0 + kAtOnce < input1 ? k0 + kAtOnce : input1;
    for (Index word = 0; word <= last; ++word) {
      const T *a = p.a + word * 64 * p.a_row, *delta = p.delta + word * 64 * p.delta_row + strip.column;
      for (Index k = k0; k < k1; ++k) {
        Vec<T> c[1][kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) c[0][j] = word == 0 ? Vec<T>{} : sums[k - k0][j];
        if (word == last) {
          for (int j = 0; j < kVectors; j += 2) use.expect(strip.at(k, j));
        }
        add_rows<T, 1, kVectors>(found.sets[k * found.row_words + word], a + k, p.a_row, delta, p.delta_row,
                                 c);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
          if (word < last) {
            sums[k - k0][j] = c[0][j];
          } else {
            use.weights(strip.at(k, j), c[0][j] * scale);
          }
        }
      }
    }
    if (p.ahead != nullptr) {
      for (int i = 0; i < 4; ++i) ask_ahead(*p.ahead);
    }
  }
}

// Eight inputs at a time, over the rows in which any of them is not zero: for small batches, where one input
// has too few rows to be worth a loop, and for images, whose zeros lie side by side.
template <class T, class Use, int kVectors, int kInputs>
CLEARPROP_INLINE void gradient_of_unit(const GradientProduct<T>& p, const Nonzeros& found, const Use& use,
                                       const Strip<T, kVectors>& strip, Index k) {
  const std::uint64_t* set = found.sets + k / 8 * found.row_words;
  Vec<T> c[kInputs][kVectors] = {};
  for (Index word = 0; word < found.row_words; ++word) {
    add_rows<T, kInputs, kVectors>(set[word], p.a + word * 64 * p.a_row + k, p.a_row,
                                   p.delta + word * 64 * p.delta_row + strip.column, p.delta_row, c);
  }
  const Vec<T> scale = splat(p.scale);
#pragma GCC unroll 8
  for (int i = 0; i < kInputs; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) use.weights(strip.at(k + i, j), c[i][j] * scale);
  }
}

template <class T, class Use, int kVectors>
void gradient_by_eight(const GradientProduct<T>& p, const Nonzeros& found, const Use& shared,
                       const Strip<T, kVectors>& strip, Index input0, Index input1) {
  const Use use = shared;
  constexpr int kHalf = kRegisters == 32 ? 8 : 4;  // as many accumulators as there is room for
  for (Index k = input0; k < input1; k += 8) {
    if (p.ahead != nullptr) ask_ahead(*p.ahead);
    if (ZeroMovesNothing<Use>::value) {
      std::uint64_t any = 0;
      for (Index word = 0; word < found.row_words; ++word) any |= found.sets[k / 8 * found.row_words + word];
      if (any == 0) continue;
    }
    if (k + 8 > input1) {
      for (Index i = k; i < input1; ++i) gradient_of_unit<T, Use, kVectors, 1>(p, found, use, strip, i);
      continue;
    }
    gradient_of_unit<T, Use, kVectors, kHalf>(p, found, use, strip, k);
    if (kHalf == 4) gradient_of_unit<T, Use, kVectors, kHalf>(p, found, use, strip, k + 4);
  }
}

// One example: the weights of the inputs that are not zero. The mean over one is the gradient itself.
template <class T, class Use, int kVectors>
void gradient_of_one(const GradientProduct<T>& p, const Nonzeros& found, const Use& shared,
                     const Strip<T, kVectors>& strip) {
  const Use use = shared;
  Vec<T> delta[kVectors];
  for (int j = 0; j < kVectors; ++j) delta[j] = load(p.delta + strip.column + j * kLanes<T>);
  const Index count = found.starts[found.blocks];
  for (Index t = 0; t < count; ++t) {
    const Index k = found.columns[t];
    const Vec<T> x = splat(p.a[k]);
    if (p.ahead != nullptr && t % 2 == 0) ask_ahead(*p.ahead);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) use.weights(strip.at(k, j), x * delta[j]);
  }
}

// dC_dW for the inputs [input0, input1) and the panels [panel0, panel1); not the biases.
template <class T, class Use>
void gradient_of_nonzeros(const GradientProduct<T>& p, const Nonzeros& found, const Use& use, Index input0,
                          Index input1, Index panel0, Index panel1) {
  const auto run = [&](const auto& strip) {
    if (ZeroMovesNothing<Use>::value && p.rows == 1) return gradient_of_one(p, found, use, strip);
    found.unit == 8 ? gradient_by_eight(p, found, use, strip, input0, input1)
                    : gradient_by_input(p, found, use, strip, input0, input1);
  };
  for (Index i = panel0; i < panel1;) {
    const Index column = i * kPanel<T>, first = column * (p.inputs + 1), next = kPanel<T> * (p.inputs + 1);
    const bool wide = panel_width<T>(p.n, i) == kPanel<T>;
    const bool pair =
        found.unit == 1 && p.rows > 1 && i + 1 < panel1 && panel_width<T>(p.n, i + 1) == kPanel<T>;
    if (pair) {
      gradient_by_input(p, found, use, Strip<T, 4>{column, first, next}, input0, input1);
    } else if (wide) {
      run(Strip<T, 2>{column, first, next});
    } else {
      run(Strip<T, 1>{column, first, next});
    }
    i += pair ? 2 : 1;
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
