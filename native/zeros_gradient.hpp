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

// The sets of rows of the inputs [input0, input1): input0 is a multiple of 8. Bytes beyond the rows stay as they
// are, zero.
static inline void rows_of_inputs(const Nonzeros& found, Index rows, Index input0, Index input1) {
  const auto* bits = reinterpret_cast<const unsigned char*>(found.bits);
  auto* sets = reinterpret_cast<unsigned char*>(found.sets);
  const Index row_bytes = found.row_words * 8;
  for (Index k = input0; k < input1; k += 8) {
    for (Index x = 0; x < rows; x += 8) {
      std::uint64_t matrix = 0;
      for (Index i = 0; i < 8 && x + i < rows; ++i) {
        matrix |= std::uint64_t{bits[(x + i) * found.words * 8 + k / 8]} << (8 * i);
      }
      matrix = transpose_bits(matrix);
      for (Index i = 0; i < 8; ++i) {
        sets[(k + i) * row_bytes + x / 8] = static_cast<unsigned char>(matrix >> (8 * i));
      }
    }
  }
}

// Whether a rule leaves a parameter as it is where the gradient is zero.
template <class Use>
struct ZeroMovesNothing {
  static constexpr bool value = false;
};
template <class T>
struct ZeroMovesNothing<Descend<T>> {
  static constexpr bool value = true;
};

// c += a[x][k] delta[x] over `count` rows x of a set, the lowest first.
template <class T, int kVectors>
CLEARPROP_INLINE void add_rows(std::uint64_t set, Index count, const T* a, Index a_row, const T* delta,
                               Index delta_row, Vec<T> (&c)[kVectors]) {
  for (; count > 0; --count, set &= set - 1) {
    const Index x = __builtin_ctzll(set);
    const Vec<T> factor = splat(a[x * a_row]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      c[j] = fused<T>(factor, load(delta + x * delta_row + j * kLanes<T>), c[j]);
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
        Vec<T> c[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) c[j] = word == 0 ? Vec<T>{} : sums[k - k0][j];
        if (word == last) {
          for (int j = 0; j < kVectors; j += 2) use.expect(strip.at(k, j));
        }
        const std::uint64_t set = found.sets[k * found.row_words + word];
        add_rows<T, kVectors>(set, __builtin_popcountll(set), a + k, p.a_row, delta, p.delta_row, c);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) {
          if (word < last) {
            sums[k - k0][j] = c[j];
          } else {
            use.weights(strip.at(k, j), c[j] * scale);
          }
        }
      }
    }
    if (p.ahead != nullptr) {
      for (int i = 0; i < 4; ++i) ask_ahead(*p.ahead);
    }
  }
}

// sums (+)= x0 d0 + x1 d1 for the inputs of a set, 64 at most; kSecond: there is a second row, x1.
template <class T, int kVectors, bool kFirst, bool kSecond>
CLEARPROP_INLINE void add_pair(std::uint64_t set, const T* a0, const T* a1, const T* delta0, const T* delta1,
                               T* sums) {
  constexpr Index width = kVectors * kLanes<T>;
  Vec<T> d0[kVectors], d1[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    d0[j] = load(delta0 + j * kLanes<T>);
    d1[j] = kSecond ? load(delta1 + j * kLanes<T>) : Vec<T>{};
  }
  for (; set != 0; set &= set - 1) {
    const Index k = __builtin_ctzll(set);
    const Vec<T> x0 = splat(a0[k]), x1 = kSecond ? splat(a1[k]) : Vec<T>{};
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      T* const sum = sums + k * width + j * kLanes<T>;
      Vec<T> c = fused<T>(x0, d0[j], kFirst ? Vec<T>{} : load(sum));
      if constexpr (kSecond) c = fused<T>(x1, d1[j], c);
      store(sum, c);
    }
  }
}

// Few rows: 64 inputs after 64, whose sums stay in the first cache while the rows go by, two at a time. So a
// round of the loops has more to do than to find out how many of them there are.
template <class T, class Use, int kVectors>
void gradient_by_pairs(const GradientProduct<T>& p, const Nonzeros& found, const Use& shared,
                       const Strip<T, kVectors>& strip, Index input0, Index input1) {
  constexpr Index width = kVectors * kLanes<T>;
  const Use use = shared;
  const Vec<T> scale = splat(p.scale);
  alignas(kAlignment) T sums[64 * width];
  for (Index k0 = input0; k0 < input1; k0 += 64) {
    const std::uint64_t* bits = found.bits + k0 / 64;
    std::uint64_t wanted = input1 - k0 < 64 ? (std::uint64_t{1} << (input1 - k0)) - 1 : ~std::uint64_t{0};
    if constexpr (ZeroMovesNothing<Use>::value) {
      wanted = 0;
      for (Index x = 0; x < p.rows; ++x) wanted |= bits[x * found.words];
    }
    for (Index x = 0; x < p.rows; x += 2) {
      const T *a0 = p.a + x * p.a_row + k0, *a1 = a0 + p.a_row;
      const T *d0 = p.delta + x * p.delta_row + strip.column, *d1 = d0 + p.delta_row;
      const bool second = x + 1 < p.rows;
      if (x == 0) {
        second ? add_pair<T, kVectors, true, true>(wanted, a0, a1, d0, d1, sums)
               : add_pair<T, kVectors, true, false>(wanted, a0, a1, d0, d1, sums);
      } else if (second) {
        const std::uint64_t set = bits[x * found.words] | bits[(x + 1) * found.words];
        add_pair<T, kVectors, false, true>(set, a0, a1, d0, d1, sums);
      } else {
        add_pair<T, kVectors, false, false>(bits[x * found.words], a0, a1, d0, d1, sums);
      }
      if (p.ahead != nullptr) ask_ahead(*p.ahead);
    }
    for (; wanted != 0; wanted &= wanted - 1) {
      const Index k = __builtin_ctzll(wanted);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        use.weights(strip.at(k0 + k, j), load(sums + k * width + j * kLanes<T>) * scale);
      }
    }
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

// What `work` does with each strip of the panels [panel0, panel1), two panels together where there are two.
template <class T, class Work>
CLEARPROP_INLINE void each_strip(const GradientProduct<T>& p, Index panel0, Index panel1, bool in_pairs,
                                 const Work& work) {
  for (Index i = panel0; i < panel1;) {
    const Index column = i * kPanel<T>, first = column * (p.inputs + 1), next = kPanel<T> * (p.inputs + 1);
    const bool wide = panel_width<T>(p.n, i) == kPanel<T>;
    const bool pair = in_pairs && i + 1 < panel1 && panel_width<T>(p.n, i + 1) == kPanel<T>;
    if (pair) {
      work(Strip<T, 4>{column, first, next});
    } else if (wide) {
      work(Strip<T, 2>{column, first, next});
    } else {
      work(Strip<T, 1>{column, first, next});
    }
    i += pair ? 2 : 1;
  }
}

// dC_dW for the inputs [input0, input1) and the panels [panel0, panel1); not the biases. input0 is a multiple
// of 64.
template <class T, class Use>
void gradient_of_nonzeros(const GradientProduct<T>& p, const Nonzeros& found, const Use& use, Index input0,
                          Index input1, Index panel0, Index panel1) {
  if (ZeroMovesNothing<Use>::value && p.rows == 1) {
    return each_strip(p, panel0, panel1, false,
                      [&](const auto& strip) { gradient_of_one(p, found, use, strip); });
  }
  each_strip(p, panel0, panel1, true, [&](const auto& strip) {
    p.rows > kPairedRows ? gradient_by_input(p, found, use, strip, input0, input1)
                         : gradient_by_pairs(p, found, use, strip, input0, input1);
  });
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
