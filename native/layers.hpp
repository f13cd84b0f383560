// Dropout, batch norm and layer norm. The equations and their derivations stand in `clearprop/layers`.
//
// Sums over rows or neurons run in one order, halves onto halves (`pairwise`), which depends on their length
// alone: not on threads, nor on how columns or rows are cut. The padding of what is read may be any finite
// numbers, except that gamma, beta and dC_da have zeros there; then the padding of a norm's a, of masks and
// of gradients is 0, and that of every other result finite. There is at least one row.
#pragma once

#include "random.hpp"
#include "simd.hpp"

// One compiled copy of a kernel. In a copy inlined or cloned for known sizes the compiler may contract other
// products to fused multiply-adds, and the bits of a row would depend on where it was called from.
#if defined(__clang__)
#define CLEARPROP_ONE_COPY __attribute__((noinline))
#else
#define CLEARPROP_ONE_COPY __attribute__((noinline, noclone))
#endif

namespace clearprop {
namespace CLEARPROP_ISA {

// ---------------------------------------------------------------------------------------------- Philox

// Vectors of counters: one block per 64-bit lane, each of its words in the low half of its own vector's lane.
// The high halves hold whatever the last product left there; no operation looks at them.
using Wide = typename VectorOf<std::uint64_t>::type;
using Words = typename VectorOf<std::uint32_t>::type;
constexpr int kBlocks = kBytes / 8;

// The 64-bit products of the low halves with m.
CLEARPROP_INLINE Wide product(Wide x, std::uint32_t m) {
#if defined(__AVX512F__)
  return (Wide)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64(m));
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x(m));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)x, _mm_set1_epi64x(m));
#elif defined(__aarch64__)
  return (Wide)vmull_u32(vmovn_u64((uint64x2_t)x), vdup_n_u32(m));
#else
  return (x & 0xFFFFFFFFu) * m;
#endif
}

// Interleave the even lanes of x and y, and the odd ones.
CLEARPROP_INLINE void interleave(Wide x, Wide y, Words* even, Words* odd) {
#if defined(__AVX512F__)
  *even = (Words)_mm512_unpacklo_epi64((__m512i)x, (__m512i)y);
  *odd = (Words)_mm512_unpackhi_epi64((__m512i)x, (__m512i)y);
#elif defined(__AVX2__)
  *even = (Words)_mm256_unpacklo_epi64((__m256i)x, (__m256i)y);
  *odd = (Words)_mm256_unpackhi_epi64((__m256i)x, (__m256i)y);
#else
  *even = (Words)Wide{x[0], y[0]};
  *odd = (Words)Wide{x[1], y[1]};
#endif
}

// The lanes' places among the blocks: even lanes take the first half, for `interleave` to put in order.
CLEARPROP_INLINE Wide block_order() {
  Wide order;
  for (int lane = 0; lane < kBlocks; ++lane) order[lane] = (lane % 2) * (kBlocks / 2) + lane / 2;
  return order;
}

// 4 kBlocks consecutive words of an example, from the block that is `first_block` of its own.
CLEARPROP_INLINE void mask_words(const Stream& s, std::uint64_t example, std::uint64_t first_block,
                                 Words* low, Words* high) {
  Wide c0 = block_order() + first_block;
  Wide c1 = Wide{} + example, c2 = Wide{} + s.nonce2, c3 = Wide{} + s.nonce3;
  std::uint32_t key0 = s.key0, key1 = s.key1;
#pragma GCC unroll 10
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const Wide p = product(c0, kPhiloxM[0]), q = product(c2, kPhiloxM[1]);
    c0 = (q >> 32) ^ (c1 ^ std::uint64_t{key0});
    c1 = q;
    c2 = (p >> 32) ^ (c3 ^ std::uint64_t{key1});
    c3 = p;
    key0 += kPhiloxW[0];
    key1 += kPhiloxW[1];
  }
  const Wide half = Wide{} + 0xFFFFFFFFu;
  interleave((c0 & half) | (c1 << 32), (c2 & half) | (c3 << 32), low, high);
}

// kept where the word reaches the threshold, 0 elsewhere; what would lie beyond `room` is not written.
CLEARPROP_INLINE void store_kept(float* p, Index, Words words, std::uint32_t threshold, float kept) {
  const Mask<float> keep = words >= threshold;
  store<float>(p, from_bits<float>(keep & bits<float>(splat(kept))));
}

CLEARPROP_INLINE void store_kept(double* p, Index room, Words words, std::uint32_t threshold, double kept) {
  typedef std::int32_t Half __attribute__((vector_size(kBytes / 2)));
  const Mask<float> keep = words >= threshold;
  Half halves[2];
  std::memcpy(halves, &keep, sizeof keep);
  const Mask<double> value = bits<double>(splat(kept));
  store<double>(p, from_bits<double>(__builtin_convertvector(halves[0], Mask<double>) & value));
  if (room <= kLanes<double>) return;
  store<double>(p + kLanes<double>,
                from_bits<double>(__builtin_convertvector(halves[1], Mask<double>) & value));
}

// The first n 64-bit numbers of a stream, word 2i + 2**32 word 2i+1; writes whole vectors.
CLEARPROP_ONE_COPY inline void random_numbers(const Stream& s, std::uint64_t* numbers, Index n) {
  for (Index i = 0; i < n; i += 2 * kBlocks) {
    const auto block = static_cast<std::uint64_t>(i / 2);
    Words low, high;
    mask_words(s, block >> 32, block & 0xFFFFFFFFu, &low, &high);
    std::memcpy(numbers + i, &low, sizeof low);
    std::memcpy(numbers + i + kBlocks, &high, sizeof high);
  }
}

// --------------------------------------------------------------------------------------------- Dropout

// What a dropped input becomes in alpha dropout: SELU's lower limit, -scale * alpha.
constexpr double kAlphaFloor = -1.7580993408473766;

// A of alpha dropout.
inline double alpha_scale(double rate) {
  const double q = 1.0 - rate;
  return std::pow(q + kAlphaFloor * kAlphaFloor * q * (1.0 - q), -0.5);
}

// mask = [u >= rate] / (1 - rate), or A [u >= rate] for alpha dropout; u of row x is that of example
// examples[x], in [0, 2**32), wherever it stands in the batch. 0 <= rate < 1.
template <class T>
CLEARPROP_ONE_COPY void dropout_mask(const Stream& s, const std::int64_t* examples, double rate, bool alpha,
                                     T* mask, Index rows, Index n, Index ld) {
  // u = word * 2**-32 is exact, so u >= rate just where word >= ceil(rate * 2**32), which may be 2**32.
  const double threshold = std::ceil(rate * 4294967296.0);
  const bool none = threshold > 4294967295.0;
  const std::uint32_t least = none ? 0 : static_cast<std::uint32_t>(threshold);
  const T kept = none ? T(0) : static_cast<T>(alpha ? alpha_scale(rate) : 1.0 / (1.0 - rate));
  constexpr Index kHalf = 2 * kBlocks;
  for (Index x = 0; x < rows; ++x) {
    T* row = mask + x * ld;
    const auto example = static_cast<std::uint64_t>(examples[x]);
    for (Index unit = 0; unit < n; unit += 2 * kHalf) {
      Words low, high;
      mask_words(s, example, static_cast<std::uint64_t>(unit) / 4, &low, &high);
      store_kept(row + unit, ld - unit, low, least, kept);
      const Index next = unit + kHalf;
      if (next < ld) store_kept(row + next, ld - next, high, least, kept);
    }
    for (Index unit = n; unit < ld; ++unit) row[unit] = 0;
  }
}

// a = mask * a_prev; alpha dropout: A (keep * a_prev + floor (1 - keep)) + B with B = -A (1 - q) floor.
template <class T>
CLEARPROP_ONE_COPY void dropout_forward(const T* a_prev, const T* mask, double rate, bool alpha, T* a,
                                        Index rows, Index, Index ld) {
  const double scaled_floor = alpha ? alpha_scale(rate) * kAlphaFloor : 0.0;
  const Vec<T> kept = splat(static_cast<T>(-rate * scaled_floor));
  const Vec<T> dropped = splat(static_cast<T>((1.0 - rate) * scaled_floor));
  for (Index i = 0; i < rows * ld; i += kLanes<T>) {
    const Vec<T> m = load(mask + i);
    Vec<T> out = m * load(a_prev + i);
    if (alpha) out += select<T>(m != T(0), kept, dropped);
    store<T>(a + i, out);
  }
}

// x * y, or with `add` that much more. A sum in both cases, so that one expression is contracted everywhere.
template <class T>
CLEARPROP_INLINE void put(T* p, Vec<T> x, Vec<T> y, bool add) {
  const Vec<T> before = add ? load(p) : Vec<T>{};
  store<T>(p, before + x * y);
}

// dC_da_prev = mask * dC_da, for both kinds.
template <class T>
CLEARPROP_ONE_COPY void dropout_backward(const T* mask, const T* dC_da, T* dC_da_prev, bool add, Index rows,
                                         Index, Index ld) {
  for (Index i = 0; i < rows * ld; i += kLanes<T>) {
    put<T>(dC_da_prev + i, load(mask + i), load(dC_da + i), add);
  }
}

// ---------------------------------------------------------------------------------------- Sums in order

constexpr Index kRun = 16;  // terms added one after another before halves are added to halves

// total = the sum of `count` terms from the one at `begin`; term(i, sums) adds term i to kWidth vectors.
template <class T, int kWidth, class Term>
void pairwise(const Term& term, Index begin, Index count, Vec<T>* total) {
  if (count <= kRun) {
    Vec<T> sums[kWidth] = {};
    for (Index i = begin; i < begin + count; ++i) term(i, sums);
    for (int v = 0; v < kWidth; ++v) total[v] = sums[v];
    return;
  }
  const Index left = (count / 2 + kRun - 1) / kRun * kRun;
  Vec<T> right[kWidth];
  pairwise<T, kWidth>(term, begin, left, total);
  pairwise<T, kWidth>(term, begin + left, count - left, right);
  for (int v = 0; v < kWidth; ++v) total[v] += right[v];
}

template <int kWidth>
struct Width {
  static constexpr int value = kWidth;
};

// body(Width<vectors>, column) for pieces of the columns [c0, c1), whole cache lines: wide pieces as long as
// there are any, so that a pass down the rows reads a long stretch of each.
template <class T, class Body>
CLEARPROP_INLINE void for_columns(Index c0, Index c1, const Body& body) {
  constexpr int kLine = 64 / kBytes;
  constexpr int kWide = kLine > 2 ? kLine : kBytes / 8;
  for (; c0 + kWide * kLanes<T> <= c1; c0 += kWide * kLanes<T>) body(Width<kWide>{}, c0);
  for (; c0 < c1; c0 += kLine * kLanes<T>) body(Width<kLine>{}, c0);
}

// ------------------------------------------------------------------------------------------ Batch norm

// Mean and biased variance of the columns [c0, c1) over the rows, in two passes.
template <class T>
CLEARPROP_ONE_COPY void batch_norm_statistics(const T* a_prev, T* mean, T* variance, Index rows, Index c0,
                                              Index c1, Index ld) {
  for_columns<T>(c0, c1, [=](auto width, Index c) {
    constexpr int kWidth = decltype(width)::value;
    Vec<T> average[kWidth], squares[kWidth];
    const auto value = [=](Index x, Vec<T>* sums) {
      for (int v = 0; v < kWidth; ++v) sums[v] += load(a_prev + x * ld + c + v * kLanes<T>);
    };
    pairwise<T, kWidth>(value, 0, rows, average);
    for (int v = 0; v < kWidth; ++v) average[v] /= static_cast<T>(rows);
    const auto square = [&](Index x, Vec<T>* sums) {
      for (int v = 0; v < kWidth; ++v) {
        const Vec<T> apart = load(a_prev + x * ld + c + v * kLanes<T>) - average[v];
        sums[v] += apart * apart;
      }
    };
    pairwise<T, kWidth>(square, 0, rows, squares);
    for (int v = 0; v < kWidth; ++v) {
      store<T>(mean + c + v * kLanes<T>, average[v]);
      store<T>(variance + c + v * kLanes<T>, squares[v] / static_cast<T>(rows));
    }
  });
}

// running <- momentum * running + (1 - momentum) * batch.
template <class T>
CLEARPROP_ONE_COPY void batch_norm_running(T* running_mean, T* running_variance, const T* mean,
                                           const T* variance, double momentum, Index c0, Index c1) {
  const Vec<T> stay = splat(static_cast<T>(momentum)), take = splat(static_cast<T>(1.0 - momentum));
  for (Index c = c0; c < c1; c += kLanes<T>) {
    store<T>(running_mean + c, stay * load(running_mean + c) + take * load(mean + c));
    store<T>(running_variance + c, stay * load(running_variance + c) + take * load(variance + c));
  }
}

// 1 / sqrt(variance + epsilon).
template <class T>
CLEARPROP_INLINE Vec<T> inverse_deviation(Vec<T> variance, double epsilon) {
  return T(1) / square_root<T>(variance + static_cast<T>(epsilon));
}

// x_hat = (a_prev - mean) / sqrt(variance + epsilon), a = gamma * x_hat + beta, for the columns [c0, c1).
template <class T>
CLEARPROP_ONE_COPY void norm_columns_forward(const T* a_prev, const T* mean, const T* variance,
                                             double epsilon, const T* gamma, const T* beta, T* x_hat, T* a,
                                             Index rows, Index c0, Index c1, Index ld) {
  for_columns<T>(c0, c1, [=](auto width, Index c) {
    constexpr int kWidth = decltype(width)::value;
    Vec<T> inverse[kWidth];
    for (int v = 0; v < kWidth; ++v) {
      inverse[v] = inverse_deviation<T>(load(variance + c + v * kLanes<T>), epsilon);
    }
    for (Index x = 0; x < rows; ++x) {
      for (int v = 0; v < kWidth; ++v) {
        const Index j = c + v * kLanes<T>;
        const Vec<T> normal = (load(a_prev + x * ld + j) - load(mean + j)) * inverse[v];
        store<T>(x_hat + x * ld + j, normal);
        store<T>(a + x * ld + j, normal * load(gamma + j) + load(beta + j));
      }
    }
  });
}

// dC_dgamma and dC_dbeta: the means of dC_da * x_hat and dC_da over the rows, in the columns [c0, c1).
template <class T>
CLEARPROP_INLINE void norm_parameters(const T* dC_da, const T* x_hat, T* dC_dgamma, T* dC_dbeta, Index rows,
                                      Index c0, Index c1, Index ld) {
  for_columns<T>(c0, c1, [=](auto width, Index c) {
    constexpr int kWidth = decltype(width)::value;
    Vec<T> total[2 * kWidth];
    const auto term = [=](Index x, Vec<T>* sums) {
      for (int v = 0; v < kWidth; ++v) {
        const Index at = x * ld + c + v * kLanes<T>;
        const Vec<T> d = load(dC_da + at);
        sums[v] += d * load(x_hat + at);
        sums[kWidth + v] += d;
      }
    };
    pairwise<T, 2 * kWidth>(term, 0, rows, total);
    for (int v = 0; v < kWidth; ++v) {
      store<T>(dC_dgamma + c + v * kLanes<T>, total[v] / static_cast<T>(rows));
      store<T>(dC_dbeta + c + v * kLanes<T>, total[kWidth + v] / static_cast<T>(rows));
    }
  });
}

// The parameters' gradients, and dC_da_prev = gamma / sqrt(variance + epsilon) * (dC_da - dC_dbeta - x_hat *
// dC_dgamma): with g = gamma * dC_da, the means of g and g * x_hat over the rows are gamma times those two.
// Statistics that are not the batch's are constants: then only the first term remains.
// A null dC_da_prev asks for the parameters alone.
template <class T>
CLEARPROP_ONE_COPY void norm_columns_backward(const T* dC_da, const T* x_hat, const T* variance,
                                              double epsilon, const T* gamma, bool batch_statistics,
                                              T* dC_dgamma, T* dC_dbeta, T* dC_da_prev, bool add, Index rows,
                                              Index c0, Index c1, Index ld) {
  norm_parameters(dC_da, x_hat, dC_dgamma, dC_dbeta, rows, c0, c1, ld);
  if (dC_da_prev == nullptr) return;
  for_columns<T>(c0, c1, [=](auto width, Index c) {
    constexpr int kWidth = decltype(width)::value;
    Vec<T> scale[kWidth];
    for (int v = 0; v < kWidth; ++v) {
      const Index j = c + v * kLanes<T>;
      scale[v] = load(gamma + j) * inverse_deviation<T>(load(variance + j), epsilon);
    }
    for (Index x = 0; x < rows; ++x) {
      for (int v = 0; v < kWidth; ++v) {
        const Index j = c + v * kLanes<T>, at = x * ld + j;
        Vec<T> through = load(dC_da + at);
        if (batch_statistics) through -= load(dC_dbeta + j) + load(x_hat + at) * load(dC_dgamma + j);
        put<T>(dC_da_prev + at, through, scale[v], add);
      }
    }
  });
}

// ------------------------------------------------------------------------------------------ Layer norm

constexpr int kAbreast = 4;  // vectors of a row that are summed side by side

// The sum over the n neurons of a row; term(j, lanes) is the vector at neuron j, lanes the mask of those that
// count. The padding is masked, whatever it holds.
template <class T, class Term>
CLEARPROP_INLINE T row_sum(const Term& term, Index n) {
  constexpr Index kStep = kAbreast * kLanes<T>;
  const Index steps = n / kStep;
  const auto step = [=](Index i, Vec<T>* sums) {
    for (int v = 0; v < kAbreast; ++v) sums[v] += term(i * kStep + v * kLanes<T>, ~Mask<T>{});
  };
  Vec<T> total[kAbreast];
  pairwise<T, kAbreast>(step, 0, steps, total);
  Index j = steps * kStep;
  for (; j + kLanes<T> <= n; j += kLanes<T>) total[0] += term(j, ~Mask<T>{});
  if (j < n) total[1] += term(j, first<T>(n - j));
  return sum<T>((total[0] + total[1]) + (total[2] + total[3]));
}

// body(j, lanes) for every vector of a padded row; the lanes that count are known to be all but in the last.
template <class T, class Body>
CLEARPROP_INLINE void for_row(Index n, Index ld, const Body& body) {
  Index j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) body(j, ~Mask<T>{});
  for (; j < ld; j += kLanes<T>) body(j, first<T>(n > j ? n - j : 0));
}

// Mean and biased variance of each row over its n neurons, x_hat and a = gamma * x_hat + beta.
template <class T>
CLEARPROP_ONE_COPY void layer_norm_forward(const T* a_prev, double epsilon, const T* gamma, const T* beta,
                                           T* x_hat, T* a, T* mean, T* variance, Index rows, Index n,
                                           Index ld) {
  for (Index x = 0; x < rows; ++x) {
    const T* in = a_prev + x * ld;
    const auto value = [=](Index j, Mask<T> lanes) { return select<T>(lanes, load(in + j), Vec<T>{}); };
    mean[x] = row_sum<T>(value, n) / static_cast<T>(n);
    const Vec<T> average = splat(mean[x]);
    const auto square = [=](Index j, Mask<T> lanes) {
      const Vec<T> apart = select<T>(lanes, load(in + j) - average, Vec<T>{});
      return apart * apart;
    };
    variance[x] = row_sum<T>(square, n) / static_cast<T>(n);
    const Vec<T> inverse = inverse_deviation<T>(splat(variance[x]), epsilon);
    for_row<T>(n, ld, [=](Index j, Mask<T> lanes) {
      const Vec<T> normal = select<T>(lanes, (load(in + j) - average) * inverse, Vec<T>{});
      store<T>(x_hat + x * ld + j, normal);
      store<T>(a + x * ld + j, normal * load(gamma + j) + load(beta + j));
    });
  }
}

// dC_da_prev = (g - mean(g) - x_hat * mean(g * x_hat)) / sqrt(variance + epsilon) with g = gamma * dC_da and
// means over the neurons of a row.
template <class T>
CLEARPROP_ONE_COPY void layer_norm_backward(const T* dC_da, const T* x_hat, const T* variance, double epsilon,
                                            const T* gamma, T* dC_da_prev, bool add, Index rows, Index n,
                                            Index ld) {
  for (Index x = 0; x < rows; ++x) {
    const T *d = dC_da + x * ld, *hat = x_hat + x * ld;
    const auto g = [=](Index j, Mask<T> lanes) {
      return select<T>(lanes, load(d + j) * load(gamma + j), Vec<T>{});
    };
    const auto moment = [=](Index j, Mask<T> lanes) { return g(j, lanes) * load(hat + j); };
    const Vec<T> mean_g = splat(row_sum<T>(g, n) / static_cast<T>(n));
    const Vec<T> mean_moment = splat(row_sum<T>(moment, n) / static_cast<T>(n));
    const Vec<T> inverse = inverse_deviation<T>(splat(variance[x]), epsilon);
    for_row<T>(n, ld, [=](Index j, Mask<T> lanes) {
      const Vec<T> through = load(d + j) * load(gamma + j) - mean_g - load(hat + j) * mean_moment;
      put<T>(dC_da_prev + x * ld + j, select<T>(lanes, through, Vec<T>{}), inverse, add);
    });
  }
}

// dC_dgamma and dC_dbeta: the means of dC_da * x_hat and dC_da over all rows.
template <class T>
CLEARPROP_ONE_COPY void layer_norm_parameters(const T* dC_da, const T* x_hat, T* dC_dgamma, T* dC_dbeta,
                                              Index rows, Index n, Index ld) {
  norm_parameters(dC_da, x_hat, dC_dgamma, dC_dbeta, rows, Index{0}, ld, ld);
  for (Index j = n; j < ld; ++j) dC_dgamma[j] = dC_dbeta[j] = 0;
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
