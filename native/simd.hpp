// Vectors as wide as the instruction set that this file is compiled for.
//
// Every kernel file is compiled once per instruction set, with CLEARPROP_ISA naming the namespace, so that
// no two object files share a function that was compiled with different instructions. Kernel files use no
// standard containers for the same reason. GCC's and Clang's vector extensions give the operators; a product
// that is added contracts to a fused multiply-add where the instruction set has one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "spec.hpp"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef CLEARPROP_ISA
#error "compile with -DCLEARPROP_ISA=<sse2|avx2|avx512|neon>"
#endif

#define CLEARPROP_INLINE inline __attribute__((always_inline))

namespace clearprop {
namespace CLEARPROP_ISA {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
constexpr int kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kBytes = 16;
constexpr int kRegisters = 32;
#else
constexpr int kBytes = 16;
constexpr int kRegisters = 16;
#endif

template <class T>
constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));

template <class T>
struct IntegerOf;
template <>
struct IntegerOf<float> {
  using type = std::int32_t;
};
template <>
struct IntegerOf<double> {
  using type = std::int64_t;
};
template <class T>
using Integer = typename IntegerOf<T>::type;

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kBytes)));
  typedef T unaligned __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vec = typename VectorOf<T>::type;
// The lanes of a comparison: all bits set where it holds.
template <class T>
using Mask = typename VectorOf<Integer<T>>::type;

template <class T>
CLEARPROP_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(p);
}

template <class T>
CLEARPROP_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(p) = v;
}

template <class T>
CLEARPROP_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};  // one broadcast
}

template <class T>
CLEARPROP_INLINE Vec<T> select(Mask<T> where, Vec<T> yes, Vec<T> no) {
  return where ? yes : no;
}

// NaN in x stays NaN in both: the instructions return their second operand where one is NaN, and GCC makes a
// comparison and a blend of the plain expression.
template <class T>
CLEARPROP_INLINE Vec<T> at_least(Vec<T> x, Vec<T> low) {
  [[maybe_unused]] constexpr bool is_float = sizeof(T) == 4;
#if defined(__AVX512F__)
  if constexpr (is_float)
    return (Vec<T>)_mm512_max_ps((__m512)low, (__m512)x);
  else
    return (Vec<T>)_mm512_max_pd((__m512d)low, (__m512d)x);
#elif defined(__AVX2__)
  if constexpr (is_float)
    return (Vec<T>)_mm256_max_ps((__m256)low, (__m256)x);
  else
    return (Vec<T>)_mm256_max_pd((__m256d)low, (__m256d)x);
#elif defined(__SSE2__)
  if constexpr (is_float)
    return (Vec<T>)_mm_max_ps((__m128)low, (__m128)x);
  else
    return (Vec<T>)_mm_max_pd((__m128d)low, (__m128d)x);
#else
  return x < low ? low : x;
#endif
}

template <class T>
CLEARPROP_INLINE Vec<T> at_most(Vec<T> x, Vec<T> high) {
  [[maybe_unused]] constexpr bool is_float = sizeof(T) == 4;
#if defined(__AVX512F__)
  if constexpr (is_float)
    return (Vec<T>)_mm512_min_ps((__m512)high, (__m512)x);
  else
    return (Vec<T>)_mm512_min_pd((__m512d)high, (__m512d)x);
#elif defined(__AVX2__)
  if constexpr (is_float)
    return (Vec<T>)_mm256_min_ps((__m256)high, (__m256)x);
  else
    return (Vec<T>)_mm256_min_pd((__m256d)high, (__m256d)x);
#elif defined(__SSE2__)
  if constexpr (is_float)
    return (Vec<T>)_mm_min_ps((__m128)high, (__m128)x);
  else
    return (Vec<T>)_mm_min_pd((__m128d)high, (__m128d)x);
#else
  return x > high ? high : x;
#endif
}

template <class T>
CLEARPROP_INLINE Mask<T> bits(Vec<T> x) {
  Mask<T> i;
  std::memcpy(&i, &x, sizeof x);
  return i;
}

template <class T>
CLEARPROP_INLINE Vec<T> from_bits(Mask<T> i) {
  Vec<T> x;
  std::memcpy(&x, &i, sizeof x);
  return x;
}

template <class T>
constexpr Integer<T> kSignBit = std::numeric_limits<Integer<T>>::min();

template <class T>
CLEARPROP_INLINE Vec<T> magnitude(Vec<T> x) {
  return from_bits<T>(bits<T>(x) & ~(Mask<T>{} + kSignBit<T>));
}

// |size| with the sign of `sign`.
template <class T>
CLEARPROP_INLINE Vec<T> with_sign(Vec<T> size, Vec<T> sign) {
  const Mask<T> bit = Mask<T>{} + kSignBit<T>;
  return from_bits<T>((bits<T>(size) & ~bit) | (bits<T>(sign) & bit));
}

template <class T>
CLEARPROP_INLINE Vec<T> square_root(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_sqrt_ps((__m512)x);
  } else {
    return (Vec<T>)_mm512_sqrt_pd((__m512d)x);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_sqrt_ps((__m256)x);
  } else {
    return (Vec<T>)_mm256_sqrt_pd((__m256d)x);
  }
#else
  Vec<T> root;
  for (int i = 0; i < kLanes<T>; ++i) root[i] = std::sqrt(x[i]);
  return root;
#endif
}

// a b + c in one rounding where the instruction set can. Written out where two kernels must agree to the last
// bit: what the compiler contracts by itself may differ from one copy of a function to another.
template <class T>
CLEARPROP_INLINE Vec<T> fused(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  } else {
    return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
  }
#elif defined(__FMA__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  } else {
    return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  }
#elif defined(__aarch64__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  } else {
    return (Vec<T>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
  }
#else
  return a * b + c;
#endif
}

// Each lane changes places with the one `distance` away, distance a power of two.
template <class T, int distance, int... lane>
CLEARPROP_INLINE Vec<T> exchange(Vec<T> x, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(x, x, (lane ^ distance)...);
}

// Lanes with the bit `half` unset of b, and set of a, change places. Indices that come from a loop GCC 12 would
// make one by one; these are constants of the template.
template <class T, int half, int... lane>
CLEARPROP_INLINE void exchange_halves(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, lane...>) {
  constexpr int kSize = kLanes<T>;
  const Vec<T> low = __builtin_shufflevector(a, b, ((lane & half) == 0 ? lane : lane - half + kSize)...);
  b = __builtin_shufflevector(a, b, ((lane & half) == 0 ? lane + half : lane + kSize)...);
  a = low;
}

// As many vectors as they have lanes, as a matrix, transposed: 2x2 blocks of half of it change places, then of
// a quarter, and so on.
template <class T, int half = kLanes<T> / 2>
CLEARPROP_INLINE void transpose_lanes(Vec<T>* row) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) {
    if ((i & half) != 0) continue;
    exchange_halves<T, half>(row[i], row[i + half], std::make_integer_sequence<int, kLanes<T>>());
  }
  if constexpr (half > 1) transpose_lanes<T, half / 2>(row);
}

// The sum of the lanes in every lane, always added in the same order: halves onto halves.
template <class T, int distance = kLanes<T> / 2>
CLEARPROP_INLINE Vec<T> sum_everywhere(Vec<T> x) {
  x += exchange<T, distance>(x, std::make_integer_sequence<int, kLanes<T>>());
  if constexpr (distance > 1) return sum_everywhere<T, distance / 2>(x);
  return x;
}

template <class T>
CLEARPROP_INLINE T sum(Vec<T> x) {
  return sum_everywhere<T>(x)[0];
}

// The largest lane in every lane; whether a NaN among others is it depends on where it stands.
template <class T, int distance = kLanes<T> / 2>
CLEARPROP_INLINE Vec<T> largest_everywhere(Vec<T> x) {
  x = at_least<T>(x, exchange<T, distance>(x, std::make_integer_sequence<int, kLanes<T>>()));
  if constexpr (distance > 1) return largest_everywhere<T, distance / 2>(x);
  return x;
}

template <class T>
CLEARPROP_INLINE T largest(Vec<T> x) {
  return largest_everywhere<T>(x)[0];
}

// True in the first n lanes, n at most the number of lanes.
template <class T>
CLEARPROP_INLINE Mask<T> first(Index n) {
  Mask<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < static_cast<Integer<T>>(n);
}

// The real columns of a row as vectors: `each` calls body(column, lanes that are real).
template <class T>
struct Columns {
  Index n, whole;
  Mask<T> rest;

  CLEARPROP_INLINE explicit Columns(Index count)
      : n(count), whole(count / kLanes<T> * kLanes<T>), rest(first<T>(count % kLanes<T>)) {}

  template <class Body>
  CLEARPROP_INLINE void each(const Body& body) const {
    for (Index j = 0; j < whole; j += kLanes<T>) body(j, ~Mask<T>{});
    if (whole < n) body(whole, rest);
  }

  // Zeros from the first vector that holds padding only.
  CLEARPROP_INLINE void clear_rest(T* row, Index ld) const {
    const Index end = (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    for (Index j = end; j < ld; j += kLanes<T>) store(row + j, Vec<T>{});
  }
};

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
