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

// Some inputs of a batch of at most kCountedRows rows, in lists by the number of rows in which they are not zero.
struct Counted {
  static constexpr Index kInputs = 512;
  std::uint32_t sets[kInputs];  // of each input, one bit for each row
  std::uint32_t inputs[kCountedRows + 1][kInputs + 16];
  Index counts[kCountedRows + 1];  // how many inputs are in each list
};

// The sets of the 64 inputs of a word.
static inline void sets_of_few_rows(const Nonzeros& found, Index rows, Index word, std::uint32_t* sets) {
  constexpr int kGroup = kBytes / 4, kGroups = 4;  // as many vectors at once as every processor has room for
  using Bits = Vec<std::uint32_t>;
#if !defined(__AVX512F__)
  Bits own;
  for (int i = 0; i < kGroup; ++i) own[i] = 1u << i;
#endif
  for (int first = 0; first < 64; first += kGroup * kGroups) {
    Bits all[kGroups] = {};
    for (Index x = 0; x < rows; ++x) {
      const std::uint64_t some = found.bits[x * found.words + word] >> first;
      const Bits row = Bits{} + (1u << x);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
#if defined(__AVX512F__)
        const auto lanes = static_cast<__mmask16>(some >> (g * kGroup));
        all[g] = (Bits)_mm512_mask_or_epi32((__m512i)all[g], lanes, (__m512i)all[g], (__m512i)row);
#else
        const Bits lanes = Bits{} + static_cast<std::uint32_t>(some >> (g * kGroup));
        all[g] |= (Bits)((lanes & own) == own) & row;
#endif
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) store(sets + first + g * kGroup, all[g]);
  }
}

// In how many rows each input is not zero, of some words at once: bit i of planes[p] has the value 2^p for the
// input i of its word. Reads whole vectors of words.
constexpr int kPlanes = 6;
static_assert(kCountedRows < (1 << kPlanes), "the planes hold the count");
using InputWords = Vec<std::uint64_t>;
constexpr Index kWords = kBytes / 8;

static inline void count_in_planes(const Nonzeros& found, Index rows, Index word,
                                   InputWords (&planes)[kPlanes]) {
  for (InputWords& plane : planes) plane = InputWords{};
  for (Index x = 0; x < rows; ++x) {
    InputWords carry = load(found.bits + x * found.words + word);
#pragma GCC unroll 6
    for (int i = 0; i < kPlanes; ++i) {
      const InputWords both = planes[i] & carry;
      planes[i] ^= carry;
      carry = both;
    }
  }
}

// Fills the lists with the inputs [input0, input1), input0 a multiple of 64; with those that are zero in all
// rows only if they are wanted.
static inline void count_rows(const Nonzeros& found, Index rows, Index input0, Index input1, bool wants_zeros,
                              Counted& to) {
  std::uint32_t* end[kCountedRows + 1];
  for (Index n = 0; n <= rows; ++n) end[n] = to.inputs[n];
  for (Index k = input0; k < input1; k += 64) sets_of_few_rows(found, rows, k / 64, to.sets + k - input0);
  for (Index k0 = input0; k0 < input1; k0 += 64 * kWords) {
    InputWords planes[kPlanes];
    count_in_planes(found, rows, k0 / 64, planes);
    for (Index n = wants_zeros ? 0 : 1; n <= rows; ++n) {
      InputWords counted = ~InputWords{};
#pragma GCC unroll 6
      for (int i = 0; i < kPlanes; ++i) counted &= (n >> i & 1) != 0 ? planes[i] : ~planes[i];
      for (Index w = 0; w < kWords && k0 + 64 * w < input1; ++w) {
        const Index k = k0 + 64 * w, count = input1 - k;
        const std::uint64_t these = count < 64 ? (std::uint64_t{1} << count) - 1 : ~std::uint64_t{0};
        end[n] = append_places(counted[w] & these, static_cast<std::uint32_t>(k - input0), end[n]);
      }
    }
  }
  for (Index n = 0; n <= rows; ++n) to.counts[n] = end[n] - to.inputs[n];
}

// The inputs of `counted`, those with equally many rows one after the other: so the processor knows how often
// it has to go round, where in the order of the inputs it would guess wrongly at every other.
template <class T, class Use, int kVectors>
void gradient_by_count(const GradientProduct<T>& p, const Counted& counted, const Use& shared,
                       const Strip<T, kVectors>& strip, Index input0) {
  const Use use = shared;
  const Vec<T> scale = splat(p.scale);
  const T *a = p.a + input0, *delta = p.delta + strip.column;
  for (Index n = ZeroMovesNothing<Use>::value ? 1 : 0; n <= p.rows; ++n) {
    for (Index t = 0; t < counted.counts[n]; ++t) {
      const Index i = counted.inputs[n][t];
      Vec<T> c[kVectors] = {};
      add_rows<T, kVectors>(counted.sets[i], n, a + i, p.a_row, delta, p.delta_row, c);
      if (p.ahead != nullptr && t % 8 == 0) ask_ahead(*p.ahead);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) use.weights(strip.at(input0 + i, j), c[j] * scale);
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
  if (p.rows > kCountedRows) {
    return each_strip(p, panel0, panel1, true,
                      [&](const auto& strip) { gradient_by_input(p, found, use, strip, input0, input1); });
  }
  Counted counted;
  for (Index k = input0; k < input1; k += Counted::kInputs) {
    const Index end = k + Counted::kInputs < input1 ? k + Counted::kInputs : input1;
    count_rows(found, p.rows, k, end, !ZeroMovesNothing<Use>::value, counted);
    each_strip(p, panel0, panel1, true,
               [&](const auto& strip) { gradient_by_count(p, counted, use, strip, k); });
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
