// Streams, dropout, batch norm and layer norm against golden numbers and plain long double code.
//
// The golden numbers are those of `clearprop/random.py` and `clearprop/layers`.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "../layers.hpp"

using namespace clearprop;
using namespace clearprop::CLEARPROP_ISA;
using Real = long double;
using Reals = std::vector<Real>;

static int failures = 0;

static void check(bool good, const char* what, double got = 0, double want = 0) {
  if (good) return;
  if (++failures <= 20) std::printf("FAILED: %s: got %.17g, want %.17g\n", what, got, want);
}

template <class T>
static void near(T got, Real want, Real tolerance, const char* what) {
  const Real bound = tolerance * std::numeric_limits<T>::epsilon() * (1 + std::fabs(want));
  check(std::fabs(got - want) <= bound, what, static_cast<double>(got), static_cast<double>(want));
}

// Numbers in (-1.5, 2.5), a function of the salt and the place.
static Real number(std::uint64_t salt, Index i) {
  const std::uint64_t place = salt;
  return words(stream(1, Purpose::check, &place, 1), static_cast<std::uint64_t>(i)).word[0] / 1073741824.0L -
         1.5L;
}

// A padded matrix on a cache line, with the line after its end guarded. Its padding starts as `filling`.
template <class T>
struct Padded {
  Index rows, n, ld;
  T* p;

  Padded(Index rows_, Index n_, std::uint64_t salt, T filling, Index extra_lines = 0) : rows(rows_), n(n_) {
    const Index line = 64 / static_cast<Index>(sizeof(T));
    ld = ((n + line - 1) / line + extra_lines) * line;
    p = static_cast<T*>(std::aligned_alloc(64, static_cast<std::size_t>(rows * ld + line) * sizeof(T)));
    for (Index i = 0; i < rows * ld; ++i) {
      p[i] = i % ld < n ? static_cast<T>(salt ? number(salt, i) : Real(99)) : filling;
    }
    for (Index i = rows * ld; i < rows * ld + line; ++i) p[i] = T(-77);
  }
  Padded(const Padded&) = delete;
  Padded& operator=(const Padded&) = delete;
  ~Padded() {
    for (Index i = rows * ld; i < rows * ld + 64 / static_cast<Index>(sizeof(T)); ++i) {
      check(p[i] == T(-77), "a write after the end", static_cast<double>(p[i]), -77);
    }
    std::free(p);
  }
  T& at(Index x, Index j) const { return p[x * ld + j]; }
  void zero_padding(const char* what) const {
    for (Index x = 0; x < rows; ++x) {
      for (Index j = n; j < ld; ++j) check(at(x, j) == 0, what, static_cast<double>(at(x, j)), 0);
    }
  }
  void same(const Padded& other, const char* what) const {
    check(std::memcmp(p, other.p, static_cast<std::size_t>(rows * ld) * sizeof(T)) == 0, what);
  }
  void copy(const Padded& other) { std::memcpy(p, other.p, static_cast<std::size_t>(rows * ld) * sizeof(T)); }
};

// ---------------------------------------------------------------------------------------------- Streams

static void test_streams() {
  const std::uint64_t a[] = {1, 5}, b[] = {3, (1ull << 40) + 17}, d[] = {9},
                      e[] = {1, ~0ull, (1ull << 33) + 5};
  const Stream got[] = {stream(0, Purpose::dropout, a, 2),
                        stream((1ull << 63) + 12345678901ull, Purpose::dropout, b, 2),
                        stream(7, Purpose::noise, nullptr, 0), stream(42, Purpose::epoch_order, d, 1),
                        stream(~0ull, Purpose::check, e, 3)};
  const Stream want[] = {{0x3d733837, 0x6c4f3d2f, 0x1d2596f6, 0xee2342db},
                         {0xbc91a716, 0x166a128b, 0xf697898f, 0x2101ceaf},
                         {0x45491ccc, 0x78e86c83, 0xf303c20d, 0xa952f5ad},
                         {0xb06a9250, 0x7db4e171, 0x5097d371, 0xbdab456c},
                         {0xd59b501d, 0x6c701ca6, 0x5940391d, 0xf610592a}};
  for (int i = 0; i < 5; ++i) {
    check(got[i].key0 == want[i].key0 && got[i].key1 == want[i].key1, "the key of a stream", got[i].key0,
          want[i].key0);
    check(got[i].nonce2 == want[i].nonce2 && got[i].nonce3 == want[i].nonce3, "the nonce of a stream", i, i);
  }
  // Random123's kat_vectors: counter and key zero.
  check(philox({{0, 0, 0, 0}}, 0, 0).word[3] == 0x9b00dbd8u, "Philox of zeros");
  const auto word = [&](std::uint64_t x, std::uint64_t u) {
    return words(got[0], (x << 32) + u / 4).word[u % 4];
  };
  check(word(3, 0) == 0x1f80d032u && word(3, 5) == 0x4097888du, "words of example 3");
  check(word(4294967295u, 2) == 0x77bf2374u, "a word of the last example");
  check(word(5, 999) == 0x0dcb893bu && word(5, 517) == 0xee2c0adeu, "words of example 5");
}

// ---------------------------------------------------------------------------------------------- Dropout

template <class T>
static void test_mask(Index rows, Index n, double rate, bool alpha, Index extra_lines) {
  const std::uint64_t position[] = {2, static_cast<std::uint64_t>(n)};
  const Stream s = stream(11, Purpose::dropout, position, 2);
  std::vector<std::int64_t> examples;
  for (Index x = 0; x < rows; ++x) examples.push_back(x == 1 ? 4294967295 : (x * 7919 + 3) % 60000);
  Padded<T> mask(rows, n, 0, T(5), extra_lines);
  dropout_mask<T>(s, examples.data(), rate, alpha, mask.p, rows, n, mask.ld);
  const double q = 1 - rate, floor = -1.7580993408473766;
  const T kept = static_cast<T>(alpha ? std::pow(q + floor * floor * q * (1 - q), -0.5) : 1 / (1 - rate));
  for (Index x = 0; x < rows; ++x) {
    for (Index u = 0; u < n; ++u) {
      const std::uint64_t block =
          (static_cast<std::uint64_t>(examples[x]) << 32) + static_cast<std::uint64_t>(u / 4);
      const double uniform = words(s, block).word[u % 4] * 0x1p-32;
      check(mask.at(x, u) == (uniform >= rate ? kept : T(0)), "dropout_mask",
            static_cast<double>(mask.at(x, u)), kept);
    }
  }
  mask.zero_padding("padding of dropout_mask");
}

template <class T>
static void test_golden_dropout() {
  const std::uint64_t position[] = {1, 5};
  const Stream s = stream(0, Purpose::dropout, position, 2);
  const std::int64_t examples[] = {3, 8};
  const bool keep[2][7] = {{0, 1, 1, 0, 0, 0, 1}, {0, 1, 1, 0, 0, 1, 1}};
  const Real golden[2][7] = {{-1.05954815898648L, 0.884568376260241L, 1.09980653032183L, -1.05954815898648L,
                              -1.05954815898648L, -1.05954815898648L, 1.960759146568186L},
                             {-1.05954815898648L, 2.391235454691364L, 2.606473608752953L, -1.05954815898648L,
                              -1.05954815898648L, 3.25218807093772L, 3.467426224999309L}};
  Padded<T> a_prev(2, 7, 0, T(0)), mask(2, 7, 0, T(0)), a(2, 7, 0, T(0));
  for (Index i = 0; i < 14; ++i) a_prev.at(i / 7, i % 7) = static_cast<T>(i + 1) / 4;
  for (bool alpha : {false, true}) {
    dropout_mask<T>(s, examples, 0.3, alpha, mask.p, 2, 7, mask.ld);
    dropout_forward<T>(a_prev.p, mask.p, 0.3, alpha, a.p, 2, 7, a.ld);
    for (Index x = 0; x < 2; ++x) {
      for (Index j = 0; j < 7; ++j) {
        const Real want = keep[x][j] ? (alpha ? 0.8609526162463561L : 1.4285714285714286L) : 0.0L;
        near(mask.at(x, j), want, 1, "golden mask");
        near(a.at(x, j), alpha ? golden[x][j] : want * a_prev.at(x, j), 2, "golden dropout");
      }
    }
  }
  // A uniform number that equals the rate is kept, the next rate above drops it.
  const double u = words(s, std::uint64_t{3} << 32).word[1] * 0x1p-32;
  dropout_mask<T>(s, examples, u, false, mask.p, 1, 7, mask.ld);
  check(mask.at(0, 1) == static_cast<T>(1 / (1 - u)), "a number that equals the rate", mask.at(0, 1),
        1 / (1 - u));
  dropout_mask<T>(s, examples, std::nextafter(u, 1.0), false, mask.p, 1, 7, mask.ld);
  check(mask.at(0, 1) == 0, "a number just below the rate", mask.at(0, 1), 0);
}

template <class T>
static void test_dropout_backward() {
  Padded<T> mask(5, 21, 3, T(0)), d(5, 21, 4, T(0)), out(5, 21, 5, T(0)), before(5, 21, 5, T(0));
  dropout_backward<T>(mask.p, d.p, out.p, true, 5, 21, out.ld);
  for (Index x = 0; x < 5; ++x) {
    for (Index j = 0; j < 21; ++j) {
      near(out.at(x, j), Real(before.at(x, j)) + Real(mask.at(x, j)) * d.at(x, j), 4,
           "dropout_backward, added");
    }
  }
  dropout_backward<T>(mask.p, d.p, out.p, false, 5, 21, out.ld);
  check(out.at(4, 20) == mask.at(4, 20) * d.at(4, 20), "dropout_backward");
  out.zero_padding("padding of dropout_backward");
  dropout_backward<T>(mask.p, d.p, d.p, false, 5, 21, d.ld);
  d.same(out, "dropout_backward in place");
}

// --------------------------------------------------------------------------------------- Norms, plainly

// Element k of line i: a column of a batch norm, a row of a layer norm.
struct Lines {
  bool columns;
  template <class T>
  T& at(const Padded<T>& m, Index i, Index k) const {
    return columns ? m.at(k, i) : m.at(i, k);
  }
  template <class T>
  Index lines(const Padded<T>& m) const {
    return columns ? m.n : m.rows;
  }
  template <class T>
  Index length(const Padded<T>& m) const {
    return columns ? m.rows : m.n;
  }
};

static Real mean_of(const Reals& v) {
  Real total = 0;
  for (Real x : v) total += x;
  return total / static_cast<Real>(v.size());
}

static Real variance_of(const Reals& v) {
  Reals squares;
  for (Real x : v) squares.push_back((x - mean_of(v)) * (x - mean_of(v)));
  return mean_of(squares);
}

constexpr double kEpsilon = 1e-5;

template <class T>
struct Norm {
  Lines lines;
  Padded<T> a_prev, gamma, beta, x_hat, a, d, out, dC_dgamma, dC_dbeta;
  std::vector<T> mean, variance;

  Norm(bool columns, Index rows, Index n, Index extra)
      : lines{columns},
        a_prev(rows, n, 6, T(3), extra),
        gamma(1, n, 7, T(0), extra),
        beta(1, n, 8, T(0), extra),
        x_hat(rows, n, 0, T(9), extra),
        a(rows, n, 0, T(9), extra),
        d(rows, n, 9, T(0), extra),
        out(rows, n, 10, T(0), extra),
        dC_dgamma(1, n, 0, T(9), extra),
        dC_dbeta(1, n, 0, T(9), extra),
        mean(static_cast<std::size_t>(rows + a.ld)),
        variance(mean.size()) {}

  void forward() {
    const Index rows = a.rows, n = a.n, ld = a.ld;
    if (lines.columns) {
      batch_norm_statistics<T>(a_prev.p, mean.data(), variance.data(), rows, 0, ld, ld);
      norm_columns_forward<T>(a_prev.p, mean.data(), variance.data(), kEpsilon, gamma.p, beta.p, x_hat.p, a.p,
                              rows, 0, ld, ld);
    } else {
      layer_norm_forward<T>(a_prev.p, kEpsilon, gamma.p, beta.p, x_hat.p, a.p, mean.data(), variance.data(),
                            rows, n, ld);
    }
  }
  void backward(const T* from, T* to, bool batch, bool add) {
    const Index rows = a.rows, n = a.n, ld = a.ld;
    if (lines.columns) {
      norm_columns_backward<T>(from, x_hat.p, variance.data(), kEpsilon, gamma.p, batch, dC_dgamma.p,
                               dC_dbeta.p, to, add, rows, 0, ld, ld);
    } else {
      layer_norm_parameters<T>(from, x_hat.p, dC_dgamma.p, dC_dbeta.p, rows, n, ld);
      layer_norm_backward<T>(from, x_hat.p, variance.data(), kEpsilon, gamma.p, to, add, rows, n, ld);
    }
  }
  void check_forward() const {
    for (Index i = 0; i < lines.lines(a); ++i) {
      Reals line;
      for (Index k = 0; k < lines.length(a); ++k) line.push_back(lines.at(a_prev, i, k));
      const Real m = mean_of(line), v = variance_of(line);
      near(mean[static_cast<std::size_t>(i)], m, 6, "mean");
      near(variance[static_cast<std::size_t>(i)], v, 12, "variance");
      for (Index k = 0; k < lines.length(a); ++k) {
        const Index j = lines.columns ? i : k;
        const Real s = 1 / std::sqrt(v + kEpsilon), normal = (line[static_cast<std::size_t>(k)] - m) * s;
        // Rounding the mean moves x_hat by up to eps / deviation, whoever computes it.
        near(lines.at(x_hat, i, k), normal, 12 * (1 + s), "x_hat");
        near(lines.at(a, i, k), normal * gamma.p[j] + beta.p[j], 36 * (1 + s), "a of a norm");
      }
    }
    a.zero_padding("padding of a of a norm");
    for (Index i = 0; i < x_hat.rows * x_hat.ld; ++i) check(std::isfinite(x_hat.p[i]), "x_hat is finite");
  }
  void check_backward(bool batch, const Padded<T>* before) const {
    for (Index i = 0; i < lines.lines(d); ++i) {
      const Index length = lines.length(d);
      const auto g = [&](Index k) { return Real(lines.at(d, i, k)) * gamma.p[lines.columns ? i : k]; };
      Reals gs, moments;
      for (Index k = 0; k < length; ++k) gs.push_back(g(k)), moments.push_back(g(k) * lines.at(x_hat, i, k));
      const Real s = 1 / std::sqrt(Real(variance[static_cast<std::size_t>(i)]) + kEpsilon);
      for (Index k = 0; k < length; ++k) {
        Real want = g(k) * s;
        if (batch) want -= (mean_of(gs) + lines.at(x_hat, i, k) * mean_of(moments)) * s;
        if (before) want += lines.at(*before, i, k);
        near(lines.at(out, i, k), want, 40 * (1 + s), "dC_da_prev of a norm");
      }
    }
    for (Index j = 0; j < d.n; ++j) {
      Reals ds, moments;
      for (Index x = 0; x < d.rows; ++x)
        ds.push_back(d.at(x, j)), moments.push_back(Real(d.at(x, j)) * x_hat.at(x, j));
      near(dC_dgamma.p[j], mean_of(moments), 24, "dC_dgamma");
      near(dC_dbeta.p[j], mean_of(ds), 12, "dC_dbeta");
    }
    out.zero_padding("padding of dC_da_prev of a norm");
    dC_dgamma.zero_padding("padding of dC_dgamma");
    dC_dbeta.zero_padding("padding of dC_dbeta");
  }
};

template <class T>
static void test_norm(bool columns, Index rows, Index n, Index extra) {
  Norm<T> norm(columns, rows, n, extra);
  norm.forward();
  norm.check_forward();
  Padded<T> before(rows, n, 10, T(0), extra);
  norm.backward(norm.d.p, norm.out.p, true, true);
  norm.check_backward(true, &before);
  if (columns) {
    norm.backward(norm.d.p, norm.out.p, false, false);
    norm.check_backward(false, nullptr);
  }
  norm.backward(norm.d.p, norm.out.p, true, false);
  norm.check_backward(true, nullptr);
  before.copy(norm.d);
  norm.backward(before.p, before.p, true, false);
  before.same(norm.out, "the backward pass of a norm in place");
}

// The derivative of Σ d ⊙ a by differences of a plain forward pass, extrapolated to h = 0.
template <class T>
static void test_norm_derivative(bool columns) {
  Norm<T> norm(columns, 5, 4, 0);
  norm.forward();
  norm.backward(norm.d.p, norm.out.p, true, false);
  const Lines lines = norm.lines;
  const auto total = [&](Index i, Index moved, Real h) {
    Reals line;
    for (Index k = 0; k < lines.length(norm.a); ++k) {
      line.push_back(lines.at(norm.a_prev, i, k) + (k == moved ? h : 0));
    }
    const Real m = mean_of(line), s = std::sqrt(variance_of(line) + kEpsilon);
    Real sum = 0;
    for (Index k = 0; k < lines.length(norm.a); ++k) {
      const T gain = norm.gamma.p[columns ? i : k];
      sum += (line[static_cast<std::size_t>(k)] - m) / s * gain * lines.at(norm.d, i, k);
    }
    return sum;
  };
  for (Index i = 0; i < lines.lines(norm.a); ++i) {
    for (Index k = 0; k < lines.length(norm.a); ++k) {
      const auto slope = [&](Real h) { return (total(i, k, h) - total(i, k, -h)) / (2 * h); };
      near(lines.at(norm.out, i, k), (4 * slope(5e-5L) - slope(1e-4L)) / 3, 200, "derivative of a norm");
    }
  }
}

// The same bits, however the columns of a batch norm or the rows of a layer norm are cut.
template <class T>
static void test_cuts() {
  const Index rows = 37, n = 300, line = 64 / static_cast<Index>(sizeof(T));
  Norm<T> whole(true, rows, n, 0), cut(true, rows, n, 0);
  whole.forward();
  whole.backward(whole.d.p, whole.out.p, true, true);
  const Index ld = cut.a.ld, edges[] = {0, line, 4 * line, 15 * line, ld};
  for (int i = 0; i < 4; ++i) {
    const Index c0 = edges[i], c1 = edges[i + 1];
    batch_norm_statistics<T>(cut.a_prev.p, cut.mean.data(), cut.variance.data(), rows, c0, c1, ld);
    norm_columns_forward<T>(cut.a_prev.p, cut.mean.data(), cut.variance.data(), kEpsilon, cut.gamma.p,
                            cut.beta.p, cut.x_hat.p, cut.a.p, rows, c0, c1, ld);
    norm_columns_backward<T>(cut.d.p, cut.x_hat.p, cut.variance.data(), kEpsilon, cut.gamma.p, true,
                             cut.dC_dgamma.p, cut.dC_dbeta.p, cut.out.p, true, rows, c0, c1, ld);
  }
  check(cut.mean == whole.mean && cut.variance == whole.variance, "statistics of cut columns");
  cut.a.same(whole.a, "a of cut columns");
  cut.out.same(whole.out, "dC_da_prev of cut columns");
  cut.dC_dgamma.same(whole.dC_dgamma, "dC_dgamma of cut columns");

  Norm<T> rowwise(false, rows, n, 0), parts(false, rows, n, 0);
  rowwise.forward();
  rowwise.backward(rowwise.d.p, rowwise.out.p, true, false);
  for (Index r0 = 0, r1 = 5; r0 < rows; r0 = r1, r1 = rows) {
    const Index at = r0 * ld;
    layer_norm_forward<T>(parts.a_prev.p + at, kEpsilon, parts.gamma.p, parts.beta.p, parts.x_hat.p + at,
                          parts.a.p + at, parts.mean.data() + r0, parts.variance.data() + r0, r1 - r0, n, ld);
    layer_norm_backward<T>(parts.d.p + at, parts.x_hat.p + at, parts.variance.data() + r0, kEpsilon,
                           parts.gamma.p, parts.out.p + at, false, r1 - r0, n, ld);
  }
  parts.a.same(rowwise.a, "a of cut rows");
  parts.out.same(rowwise.out, "dC_da_prev of cut rows");
}

// Adding 0.1 to a running total 40000 times would lose three digits.
template <class T>
static void test_long_sums() {
  const Index many = 40000;
  Padded<T> tall(many, 1, 0, T(0)), wide(1, many, 0, T(0)), unit(1, many, 0, T(0)), out(1, many, 0, T(0));
  for (Index i = 0; i < many; ++i) tall.at(i, 0) = wide.p[i] = T(0.1);
  std::vector<T> mean(static_cast<std::size_t>(tall.ld)), variance(mean.size());
  batch_norm_statistics<T>(tall.p, mean.data(), variance.data(), many, 0, tall.ld, tall.ld);
  near(mean[0], T(0.1), 3, "mean of a tall column");
  layer_norm_forward<T>(wide.p, kEpsilon, unit.p, unit.p, out.p, out.p, mean.data(), variance.data(), 1, many,
                        wide.ld);
  near(mean[0], T(0.1), 3, "mean of a wide row");
}

template <class T>
static void test_running() {
  Padded<T> rm(1, 20, 11, T(0)), rv(1, 20, 12, T(0)), m(1, 20, 13, T(0)), v(1, 20, 14, T(0));
  Padded<T> old_rm(1, 20, 11, T(0)), old_rv(1, 20, 12, T(0));
  batch_norm_running<T>(rm.p, rv.p, m.p, v.p, 0.9, 0, rm.ld);
  for (Index j = 0; j < 20; ++j) {
    near(rm.p[j], 0.9 * Real(old_rm.p[j]) + (1 - 0.9) * Real(m.p[j]), 3, "running mean");
    near(rv.p[j], 0.9 * Real(old_rv.p[j]) + (1 - 0.9) * Real(v.p[j]), 3, "running variance");
  }
}

template <class T>
static void test_all() {
  for (double rate : {0.0, 0.1, 0.3, 0.5, 0.999, 1 - 0x1p-53}) {
    for (bool alpha : {false, true}) {
      for (Index n : {1, 7, 16, 17, 33, 100, 517}) test_mask<T>(3, n, rate, alpha, n % 2);
    }
  }
  test_golden_dropout<T>();
  test_dropout_backward<T>();
  for (bool columns : {true, false}) {
    for (Index n : {2, 7, 16, 33, 130, 300}) {
      for (Index rows : {2, 17, 100}) test_norm<T>(columns, rows, n, rows % 2);
    }
    test_norm<T>(columns, columns ? 3000 : 2, columns ? 3 : 3000, 0);
    test_norm_derivative<T>(columns);
  }
  test_cuts<T>();
  test_running<T>();
  test_long_sums<T>();
}

int main() {
  test_streams();
  test_all<float>();
  test_all<double>();
  std::printf(failures ? "%d checks failed\n" : "layers: all checks passed\n", failures);
  return failures ? 1 : 0;
}
