// Exponentials, logarithms and what is made of them, on whole vectors and without branches.
//
// The polynomials are minimax fits (the exchange algorithm of Remez in 50-digit arithmetic) of the relative
// error; the splitting of ln 2 and the form of the logarithm are those of fdlibm. NaN stays NaN throughout.
// A result that would be denormal may be 0, which the engine's flushing to zero would make of it anyway.
#pragma once

#include "simd.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

template <class T>
struct Format;

template <>
struct Format<float> {
  static constexpr int fraction = 23;
  static constexpr std::int32_t bias = 127;
  static constexpr float cap = 88.0f;       // the largest whole x with finite exp(x) and 2^round(x / ln 2)
  static constexpr float overflow = 89.0f;  // exp of it is infinite
  static constexpr float rounder = 0x1.8p23f;
  static constexpr float ln2_high = 0.693359375f;  // few bits: a whole number times it is exact
  static constexpr float ln2_low = -2.12194440054690583e-4f;
  static constexpr float big = std::numeric_limits<float>::max() / 4;
  // (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2; the error is below 1.4e-8 of exp(r) - 1.
  static constexpr float exp[] = {0.49999998152864483f, 0.16666543573642773f, 0.041667200135515843f,
                                  0.0083665271634165723f, 0.0013882515585401032f};
  // (2 artanh(s) - 2 s) / s^3 in s^2 for s <= 3 - 2 sqrt(2); the error is below 1e-9 of the logarithm.
  static constexpr float log[] = {0.66666776718761262f, 0.39977495369126345f, 0.29873078745444625f};
};

template <>
struct Format<double> {
  static constexpr int fraction = 52;
  static constexpr std::int64_t bias = 1023;
  static constexpr double cap = 709.0;
  static constexpr double overflow = 710.0;
  static constexpr double rounder = 0x1.8p52;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double big = std::numeric_limits<double>::max() / 4;
  // The error is below 2e-17.
  static constexpr double exp[] = {
      0.50000000000000051843,   0.1666666666666658921,     0.041666666666576681856,  0.008333333333389600899,
      0.0013888888931591127143, 0.00019841269718916776194, 2.4801505240049965998e-5, 2.7557407595975609311e-6,
      2.7626052027951774058e-7, 2.5053769330849010755e-8};
  // The error is below 1.3e-18.
  static constexpr double log[] = {0.66666666666667349016, 0.39999999999411066449, 0.28571428743267175845,
                                   0.22222198475592969798, 0.18183569758327870854, 0.15313902797230644096,
                                   0.14797512114620293545};
};

constexpr double kLn2 = 0.69314718055994530942;

// sum_k c_k x^k by Horner's rule.
template <class T, class Number, int n>
CLEARPROP_INLINE Vec<T> polynomial(const Number (&c)[n], Vec<T> x) {
  Vec<T> y = splat(static_cast<T>(c[n - 1]));
#pragma GCC unroll 16
  for (int k = n - 2; k >= 0; --k) y = y * x + static_cast<T>(c[k]);
  return y;
}

// a / b for b in [1, 1e38]. In float32 with AVX-512 a refined estimate, to one more unit in the last place,
// because the division would take longer than a whole exponential.
template <class T>
CLEARPROP_INLINE Vec<T> quotient(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const Vec<T> r = (Vec<T>)_mm512_rcp14_ps((__m512)b);
    return a * (r + r * (T(1) - b * r));
  }
#endif
  return a / b;
}

// The exponential ------------------------------------------------------------------------------------------

// exp(x) = exp(r) * power * twice, with |r| <= ln(2) / 2. Only a split of all x takes out the factor 2 that
// keeps the power finite right up to the overflow; it is 1 otherwise.
template <class T>
struct Split {
  Vec<T> r, power, twice;
};

template <class T, bool all>
CLEARPROP_INLINE Split<T> split(Vec<T> x) {
  using F = Format<T>;
  x = at_least<T>(x, splat(-F::cap));
  if constexpr (all) x = at_most<T>(x, splat(F::overflow));
  // Adding the rounder leaves k + bias in the lowest bits, from where a shift makes it the exponent.
  constexpr T rounder = F::rounder + static_cast<T>(F::bias);
  const Vec<T> shifted = x * static_cast<T>(1.0 / kLn2) + rounder;
  const Vec<T> k = shifted - rounder;
  const Vec<T> r = x - k * F::ln2_high - k * F::ln2_low;
  if constexpr (all) {
    const Mask<T> positive = x > T(0);  // -1 where it holds
    return {r, from_bits<T>((bits<T>(shifted) + positive) << F::fraction),
            select<T>(positive, splat(T(2)), splat(T(1)))};
  }
  return {r, from_bits<T>(bits<T>(shifted) << F::fraction), splat(T(1))};
}

template <class T, bool all>
CLEARPROP_INLINE Vec<T> exp_of(Vec<T> x) {
  const Split<T> s = split<T, all>(x);
  const Vec<T> slope = polynomial<T>(Format<T>::exp, s.r) * s.r + T(1);
  return (slope * s.r + T(1)) * s.power * s.twice;
}

template <class T, bool all>
CLEARPROP_INLINE Vec<T> expm1_of(Vec<T> x) {
  const Split<T> s = split<T, all>(x);
  const Vec<T> near = s.r * (polynomial<T>(Format<T>::exp, s.r) * s.r) + s.r;
  const Vec<T> one = all ? select<T>(s.twice > T(1), splat(T(0.5)), splat(T(1))) : splat(T(1));
  return (near * s.power + (s.power - one)) * s.twice;
}

template <class T>
CLEARPROP_INLINE Vec<T> exp(Vec<T> x) {
  return exp_of<T, true>(x);
}

// exp(x) - 1, accurate near 0.
template <class T>
CLEARPROP_INLINE Vec<T> expm1(Vec<T> x) {
  return expm1_of<T, true>(x);
}

// The same for x that never exceeds 88 (709 in float64), faster: the functions below and softmax are so.
template <class T>
CLEARPROP_INLINE Vec<T> exp_capped(Vec<T> x) {
  return exp_of<T, false>(x);
}

template <class T>
CLEARPROP_INLINE Vec<T> expm1_capped(Vec<T> x) {
  return expm1_of<T, false>(x);
}

// The logarithm --------------------------------------------------------------------------------------------

// ln(2^k (1 + f)) for f in [sqrt(1/2) - 1, sqrt(2) - 1].
template <class T>
CLEARPROP_INLINE Vec<T> log_of_parts(Vec<T> k, Vec<T> f) {
  const Vec<T> s = f / (f + T(2));
  const Vec<T> square = s * s;
  const Vec<T> rest = square * polynomial<T>(Format<T>::log, square);
  // ln(1 + f) = f - s (f - rest), where f is exact.
  return k * Format<T>::ln2_high + (f - (s * (f - rest) - k * Format<T>::ln2_low));
}

// ln x: -inf at 0 and at denormal numbers, NaN for negative x.
template <class T>
CLEARPROP_INLINE Vec<T> log(Vec<T> x) {
  using F = Format<T>;
  using Unsigned = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  typedef Unsigned UnsignedVec __attribute__((vector_size(kBytes)));
  constexpr T limit = std::numeric_limits<T>::max();
  const Mask<T> root_half = bits<T>(splat(T(0.70710678118654752440)));
  const UnsignedVec i = (UnsignedVec)bits<T>(x) + (UnsignedVec)(bits<T>(splat(T(1))) - root_half);
  // The exponent as the lowest bits of 2^fraction: no conversion from integers is needed.
  constexpr T whole = T(Integer<T>(1) << F::fraction);
  const Mask<T> exponent = (Mask<T>)(i >> F::fraction);
  const Vec<T> k = from_bits<T>(exponent | bits<T>(splat(whole))) - (whole + static_cast<T>(F::bias));
  const Mask<T> fraction = (Mask<T>)i & ((Integer<T>(1) << F::fraction) - 1);
  const Vec<T> y = log_of_parts<T>(k, from_bits<T>(fraction + root_half) - T(1));
  const Vec<T> infinity = splat(std::numeric_limits<T>::infinity());
  const Vec<T> nan = splat(std::numeric_limits<T>::quiet_NaN());
  const Vec<T> special = select<T>(x > limit, x, select<T>(x >= T(0), -infinity, nan));
  return select<T>((x >= std::numeric_limits<T>::min()) & (x <= limit), y, special);
}

// ln(1 + x) for x in [0, 1], which is all that follows needs.
template <class T>
CLEARPROP_INLINE Vec<T> log1p(Vec<T> x) {
  const Mask<T> upper = x > T(0.41421356237309504880);
  const Vec<T> f = select<T>(upper, (x - T(1)) * T(0.5), x);
  return log_of_parts<T>(select<T>(upper, splat(T(1)), Vec<T>{}), f);
}

// The logistic family --------------------------------------------------------------------------------------

// 1 / (1 + exp(-z)). Below z = -87 (-708) it stays at a number that is just not denormal, and so is never 0.
template <class T>
CLEARPROP_INLINE Vec<T> expit(Vec<T> z) {
  return quotient<T>(splat(T(1)), exp_capped<T>(-at_least<T>(z, splat(T(1) - Format<T>::cap))) + T(1));
}

template <class T>
CLEARPROP_INLINE Vec<T> tanh(Vec<T> z) {
  const Vec<T> q = expm1_capped<T>(magnitude<T>(z) * T(-2));
  return with_sign<T>(quotient<T>(-q, q + T(2)), z);
}

// ln(1 + exp(z)) = max(z, 0) + ln(1 + exp(-|z|)).
template <class T>
CLEARPROP_INLINE Vec<T> softplus(Vec<T> z) {
  return at_least<T>(z, Vec<T>{}) + log1p<T>(exp_capped<T>(-magnitude<T>(z)));
}

// ln cosh(d). With q = exp(-|d|) - 1, cosh(d) - 1 = q^2 / (2 (1 + q)), which does not cancel near 0; from 1
// on |d| - ln 2 + ln(1 + exp(-2 |d|)).
template <class T>
CLEARPROP_INLINE Vec<T> log_cosh(Vec<T> d) {
  const Vec<T> size = magnitude<T>(d);
  const Mask<T> small = size < T(1);
  const Vec<T> q = expm1_capped<T>(-size), e = q + T(1);
  const Vec<T> start = select<T>(small, Vec<T>{}, size - static_cast<T>(kLn2));
  return start + log1p<T>(select<T>(small, q * q / (e + e), e * e));
}

// The Gaussian family --------------------------------------------------------------------------------------

// -ln(erfc(x)) = x P(x) / Q(x) for x in [0, 28]: the fit of clearprop/arrays.py.
constexpr double kErfcEnd = 28.0;
constexpr double kErfcP[] = {1.128379167095512559,      3.003969733178272259,     3.842412744742258878,
                             3.0504070383873611385,     1.6434572073793846848,    0.61988414234974551054,
                             0.16319559515021211657,    0.028945383927722324411,  0.0031907701697266130436,
                             0.00018658209729100381259, 4.6326068579966094145e-6, 3.3344263519018854141e-8};
constexpr double kErfcQ[] = {1.0,
                             2.098009277239962636,
                             2.1304948044431480906,
                             1.3272156527320454374,
                             0.54938078909724279191,
                             0.1535226898902788586,
                             0.028238248366649266181,
                             0.0031685575668926971399,
                             0.00018636900817043074512,
                             4.6324835494861557169e-6,
                             3.3344440797628927947e-8};

// Phi(z) = (1 + erf(z / sqrt 2)) / 2, the standard normal distribution function.
template <class T>
CLEARPROP_INLINE Vec<T> normal_cdf(Vec<T> z) {
  const Vec<T> x = at_most<T>(magnitude<T>(z) * T(0.70710678118654752440), splat(T(kErfcEnd)));
  const Vec<T> log_erfc = -(x * polynomial<T>(kErfcP, x)) / polynomial<T>(kErfcQ, x);
  const Vec<T> tail = exp_capped<T>(log_erfc) * T(0.5);
  return select<T>(z < T(0), tail, T(1) - tail);
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
