// The mathematical functions, activations and costs of one instruction set against long double formulas.
//
// Build once per instruction set with its flags and -DCLEARPROP_ISA, and run: it prints what is wrong, where,
// what it got and what it wanted, and returns how many checks failed.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../activations.hpp"
#include "../costs.hpp"
#include "../math.hpp"

namespace {

using namespace clearprop;
namespace isa = clearprop::CLEARPROP_ISA;
using Real = long double;
using std::string;
using std::vector;

const Real kInf = std::numeric_limits<Real>::infinity();
const Real kNaN = std::numeric_limits<Real>::quiet_NaN();
const Index kSizes[] = {1, 7, 10, 16, 33};
int failures = 0;

template <class T>
constexpr Real kEpsilon = std::numeric_limits<T>::epsilon();
// Results this small may be flushed to zero, or be the floor of the logistic function times 1000.
template <class T>
constexpr Real kTiny = 2000 * static_cast<Real>(std::numeric_limits<T>::min());

void fail(const string& what, Real where, Real got, Real want) {
  if (++failures <= 40) std::printf("%s at %.9Lg: got %.20Lg, want %.20Lg\n", what.c_str(), where, got, want);
}

// got within `units` of epsilon of want, or within `absolute` epsilons.
template <class T>
void expect_near(const string& what, Real where, T got, Real want, Real units, Real absolute = 0) {
  if (std::isnan(want) ? std::isnan(got) : got == static_cast<T>(want)) return;
  const Real bound = kEpsilon<T> * (units * std::abs(want) + absolute) + kTiny<T>;
  const bool near = std::abs(static_cast<Real>(got) - want) <= bound;
  if (!near || std::isinf(got) || std::isinf(want)) fail(what, where, got, want);
}

void expect(const string& what, Real where, bool holds) {
  if (!holds) fail(what, where, 0, 1);
}

Real uniform() { return static_cast<Real>(std::rand()) / RAND_MAX; }

// Numbers of every size, a multiple of 64 of them.
template <class T>
vector<T> grid() {
  vector<T> z;
  for (const Real size : {0.0L, 1e-30L, 1e-8L, 1e-3L, 0.3L, 0.35L, 0.5L, 1.0L, 3.0L, 9.0L, 20.0L, 87.0L,
                          88.0L, 100.0L, 700.0L, 709.0L, 1000.0L, kInf}) {
    z.push_back(static_cast<T>(size));
    z.push_back(static_cast<T>(-size));
  }
  z.push_back(static_cast<T>(kNaN));
  while (z.size() < 100 || z.size() % 64 != 0) z.push_back(static_cast<T>(80 * (uniform() - 0.5L)));
  while (z.size() < 1024) z.push_back(static_cast<T>(8 * (uniform() - 0.5L)));
  return z;
}

template <class T>
string typed(const string& name) {
  return name + (sizeof(T) == 4 ? " of float" : " of double");
}

// Mathematical functions -----------------------------------------------------------------------------------

Real expit(Real z) { return 1 / (1 + std::exp(-z)); }
Real softplus(Real z) { return (z > 0 ? z : 0) + std::log1p(std::exp(-std::abs(z))); }
Real cdf(Real z) { return std::erfc(-z * std::sqrt(0.5L)) / 2; }
Real density(Real z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0L)); }
Real log_cosh(Real d) {
  const Real size = std::abs(d), half = std::sinh(std::min(size, 2.0L) / 2);
  return size < 2 ? std::log1p(2 * half * half) : size - std::log(2.0L) + std::log1p(std::exp(-2 * size));
}

// How the allowance grows where a rounded exponent is of the order of z^2; the fit of ln(erfc) adds a cube.
Real tail(Real z) {
  const Real size = std::min(std::abs(z), 100.0L);
  return z == z ? size * size * (1 + size * size * size / 1000) : 0;
}

template <class T, class Got>
void check_function(const string& name, const vector<T>& x, const Got& got, Real (*want)(Real), Real units,
                    Real tails = 0) {
  for (std::size_t i = 0; i < x.size(); i += isa::kLanes<T>) {
    T y[isa::kLanes<T>];
    isa::store<T>(y, got(isa::load(&x[i])));
    for (int j = 0; j < isa::kLanes<T>; ++j) {
      const Real v = x[i + j];
      expect_near<T>(typed<T>(name), v, y[j], want(v), units + tails * tail(v));
    }
  }
}

template <class T>
void check_mathematics() {
  using V = isa::Vec<T>;
  const vector<T> z = grid<T>();
  vector<T> low = z, unit = z, positive = z;
  for (T& x : low) x = x > 88 ? T(88) : x;
  for (T& x : unit) x = std::isfinite(x) ? std::abs(x) / (1 + std::abs(x)) : x == x ? T(1) : x;
  for (std::size_t i = 100; i < z.size(); ++i) positive[i] = std::exp2(z[i] * 3);
  Real (*const exp)(Real) = std::exp, (*const expm1)(Real) = std::expm1, (*const log)(Real) = std::log;
  Real (*const log1p)(Real) = std::log1p, (*const tanh)(Real) = std::tanh;
  check_function<T>("exp", z, [](V x) { return isa::exp<T>(x); }, exp, 1.5L);
  check_function<T>("expm1", z, [](V x) { return isa::expm1<T>(x); }, expm1, 2);
  check_function<T>("exp_capped", low, [](V x) { return isa::exp_capped<T>(x); }, exp, 1.5L);
  check_function<T>("expm1_capped", low, [](V x) { return isa::expm1_capped<T>(x); }, expm1, 2);
  check_function<T>("log", positive, [](V x) { return isa::log<T>(x); }, log, 1.5L);
  check_function<T>("log1p", unit, [](V x) { return isa::log1p<T>(x); }, log1p, 2);
  check_function<T>("tanh", z, [](V x) { return isa::tanh<T>(x); }, tanh, 3);
  check_function<T>("expit", z, [](V x) { return isa::expit<T>(x); }, expit, 3);
  check_function<T>("softplus", z, [](V x) { return isa::softplus<T>(x); }, softplus, 3);
  check_function<T>("log_cosh", z, [](V x) { return isa::log_cosh<T>(x); }, log_cosh, 6);
  check_function<T>("normal_cdf", z, [](V x) { return isa::normal_cdf<T>(x); }, cdf, 5, 2);
}

// Elementwise activations ----------------------------------------------------------------------------------

struct Case {
  const char* name;
  Function function;
  double option;
  Real (*f)(Real z);
  Real (*df)(Real z, Real a);
  Real low, high, slope_low, slope_high;  // at -inf and inf
  Real tails = 0;                         // units of relative error, times tail(z)
  Real absolute = 3;                      // epsilons of absolute error, where the slope crosses 0
};

Real cubic(Real z) { return 2 * std::sqrt(2 / std::acos(-1.0L)) * (z + 0.044715L * z * z * z); }
Real mish_tanh(Real z) { return std::tanh(softplus(z)); }
Real one_if(bool holds) { return holds ? 1 : 0; }
constexpr Real kRight = 1.0507009873554804934193349852946L;
constexpr Real kLeft = kRight * 1.6732632423543772848170429916717L;
constexpr Real kScale = 1.7159L;

const Case kCases[] = {
    {"identity", Function::identity, 0, [](Real z) { return z; }, [](Real, Real) { return 1.0L; }, -kInf,
     kInf, 1, 1},
    {"sigmoid", Function::sigmoid, 0, expit, [](Real, Real a) { return a * (1 - a); }, 0, 1, 0, 0},
    {"tanh", Function::tanh, 0, [](Real z) { return std::tanh(z); }, [](Real, Real a) { return 1 - a * a; },
     -1, 1, 0, 0},
    {"scaled_tanh", Function::scaled_tanh, 0, [](Real z) { return kScale * std::tanh(2 * z / 3); },
     [](Real, Real a) { return 2 * (kScale - a * a / kScale) / 3; }, -kScale, kScale, 0, 0},
    {"relu", Function::relu, 0, [](Real z) { return z > 0 ? z : 0; },
     [](Real z, Real) { return one_if(z > 0); }, 0, kInf, 0, 1},
    {"leaky_relu", Function::leaky_relu, 0.25, [](Real z) { return z > 0 ? z : z / 4; },
     [](Real z, Real) { return z > 0 ? 1 : 0.25L; }, -kInf, kInf, 0.25L, 1},
    {"elu", Function::elu, 1.5, [](Real z) { return z > 0 ? z : 1.5L * std::expm1(z); },
     [](Real z, Real) { return z > 0 ? 1 : 1.5L * std::exp(z); }, -1.5L, kInf, 0, 1},
    {"selu", Function::selu, 0, [](Real z) { return z > 0 ? kRight * z : kLeft * std::expm1(z); },
     [](Real z, Real) { return z > 0 ? kRight : kLeft * std::exp(z); }, -kLeft, kInf, 0, kRight},
    {"gelu", Function::gelu, 0, [](Real z) { return z * cdf(z); },
     [](Real z, Real) { return cdf(z) + z * density(z); }, 0, kInf, 0, 1, 2},
    {"gelu_tanh", Function::gelu_tanh, 0, [](Real z) { return z * expit(cubic(z)); },
     [](Real z, Real) {
       const Real s = expit(cubic(z)), rest = expit(-cubic(z));
       return s + z * s * rest * (cubic(1) / 1.044715L) * (1 + 0.134145L * z * z);
     },
     0, kInf, 0, 1, 6},
    {"silu", Function::silu, 0, [](Real z) { return z * expit(z); },
     [](Real z, Real) { return expit(z) + z * expit(z) * expit(-z); }, 0, kInf, 0, 1},
    {"mish", Function::mish, 0, [](Real z) { return z * mish_tanh(z); },
     [](Real z, Real) {
       const Real sech = 1 / std::cosh(softplus(z));
       return mish_tanh(z) + z * sech * sech * expit(z);
     },
     0, kInf, 0, 1},
    {"softplus", Function::softplus, 0, softplus, [](Real, Real a) { return -std::expm1(-a); }, 0, kInf, 0,
     1},
    {"softsign", Function::softsign, 0, [](Real z) { return z / (1 + std::abs(z)); },
     [](Real z, Real) { return 1 / ((1 + std::abs(z)) * (1 + std::abs(z))); }, -1, 1, 0, 0, 0, 0},
    {"hard_tanh", Function::hard_tanh, 0, [](Real z) { return z < -1  ? -1
                                                              : z > 1 ? 1
                                                                      : z; },
     [](Real z, Real) { return one_if(std::abs(z) < 1); }, -1, 1, 0, 0, 0, 0},
    {"exponential", Function::exponential, 0, [](Real z) { return std::exp(z); },
     [](Real, Real a) { return a; }, 0, kInf, 0, kInf, 0, 0},
};

template <class T>
void check_elementwise(const Case& c) {
  const vector<T> z = grid<T>();
  const Index count = static_cast<Index>(z.size());
  const Activation f{c.function, c.option};
  vector<T> a(z.size()), delta(z.size(), T(-2));
  isa::activation_forward<T>(f, nullptr, z.data(), a.data(), 1, count, count);
  isa::activation_backward<T>(f, nullptr, z.data(), a.data(), delta.data(), nullptr, 1, count, count);
  for (Index i = 0; i < count; ++i) {
    const Real v = z[i], units = 8 + c.tails * tail(v);
    if (std::isinf(v)) {
      expect_near<T>(typed<T>(c.name), v, a[i], v < 0 ? c.low : c.high, 2);
      const Real slope = v < 0 ? c.slope_low : c.slope_high;
      expect_near<T>(typed<T>(c.name) + ", -2 f'", v, delta[i], -2 * slope, 2, 8);
    } else {
      expect_near<T>(typed<T>(c.name), v, a[i], v == v ? c.f(v) : v, units);
      // Absolute errors are for where terms cancel; in the tails the slope has to be relatively right.
      const bool saturates = c.function == Function::tanh || c.function == Function::scaled_tanh;
      const Real absolute = std::abs(v) < 4 || saturates ? 2 * c.absolute : 0;
      const Real slope = v == v ? c.df(v, a[i]) : 0;
      if (v == v) expect_near<T>(typed<T>(c.name) + ", -2 f'", v, delta[i], -2 * slope, units, absolute);
    }
  }
}

// Whole layers ---------------------------------------------------------------------------------------------

// A matrix with rows padded to a whole cache line and one more; NaN in the padding must reach no result.
template <class T>
struct Matrix {
  Index rows, n, ld;
  vector<T> x;
  Matrix(Index rows_, Index n_) : rows(rows_), n(n_) {
    const Index line = 64 / sizeof(T);
    ld = (n + line - 1) / line * line + line;
    x.assign(static_cast<std::size_t>(rows * ld), static_cast<T>(kNaN));
  }
  T* operator[](Index row) { return &x[static_cast<std::size_t>(row * ld)]; }
  template <class Number>
  Matrix& fill(const Number& number) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < n; ++j) (*this)[i][j] = static_cast<T>(number(i, j));
    }
    return *this;
  }
  bool padding_is_zero() {
    for (Index i = 0; i < rows * ld; ++i) {
      if (i % ld >= n && !(x[static_cast<std::size_t>(i)] == 0)) return false;
    }
    return true;
  }
};

// Rows of z: random, far apart, and with infinities.
Real hard_z(Index row, Index column) {
  if (row == 0) return column == 0 ? kInf : column == 2 ? -kInf : 0.5L * static_cast<Real>(column);
  if (row == 1) return -kInf;
  if (row == 2) return column % 2 == 0 ? 1000 : -1000;
  return (row % 4 == 3 ? 60 : 4) * (uniform() - 0.5L);
}

// ln softmax, an infinite z counting as a quarter of the largest T.
template <class T>
vector<Real> log_softmax(const T* z, Index n) {
  const Real big = static_cast<Real>(std::numeric_limits<T>::max()) / 4;
  vector<Real> out(z, z + n);
  Real top = -big, total = 0;
  for (Real& v : out) top = std::max(top, v = std::min(std::max(v, -big), big));
  for (const Real v : out) total += std::exp(v - top);
  for (Real& v : out) v = v - top - std::log(total);
  return out;
}

template <class T>
void check_softmax(Index n) {
  const string name = typed<T>("softmax " + std::to_string(n));
  Matrix<T> z(19, n), a(19, n), delta(19, n);
  z.fill(hard_z);
  const Activation f{Function::softmax};
  isa::activation_forward<T>(f, nullptr, z[0], a[0], z.rows, n, z.ld);
  expect(name + ", padding of a", 0, a.padding_is_zero());
  Matrix<T> above = delta.fill([](Index, Index) { return uniform() - 0.5L; });
  isa::activation_backward<T>(f, nullptr, z[0], a[0], delta[0], nullptr, z.rows, n, z.ld);
  expect(name + ", padding of delta", 0, delta.padding_is_zero());
  for (Index i = 0; i < z.rows; ++i) {
    const vector<Real> want = log_softmax(z[i], n);
    Real mean = 0;
    for (Index j = 0; j < n; ++j) mean += static_cast<Real>(a[i][j]) * above[i][j];
    for (Index j = 0; j < n; ++j) {
      // z_j - top is rounded in T before the exponential sees it.
      expect_near<T>(name, z[i][j], a[i][j], std::exp(want[j]), 6 + std::min(-want[j], 100.0L));
      expect_near<T>(name + ", dC_dz", z[i][j], delta[i][j], a[i][j] * (above[i][j] - mean), 4, 4);
    }
  }
  z[4][n - 1] = static_cast<T>(kNaN);
  isa::activation_forward<T>(f, nullptr, z[0], a[0], z.rows, n, z.ld);
  expect(name + ", NaN", 4, std::isnan(a[4][0]) && !std::isnan(a[5][0]) && a.padding_is_zero());
}

template <class T>
void check_prelu(Index n, bool shared) {
  const string name = typed<T>("prelu " + std::to_string(n));
  Matrix<T> z(6, n), a(6, n), delta(6, n), alpha(1, shared ? 1 : n), gradient(6, n);
  z.fill(hard_z);
  alpha.fill([](Index, Index j) { return j == 2 ? 0 : uniform(); });
  Matrix<T> above = delta.fill([](Index, Index) { return uniform() - 0.5L; });
  Activation f{Function::prelu};
  f.shared = shared;
  isa::activation_forward<T>(f, alpha[0], z[0], a[0], z.rows, n, z.ld);
  isa::activation_backward<T>(f, alpha[0], z[0], a[0], delta[0], gradient[0], z.rows, n, z.ld);
  for (Index i = 0; i < z.rows; ++i) {
    Real total = 0, size = 0;
    for (Index j = 0; j < n; ++j) {
      const Real slope = alpha[0][shared ? 0 : j], v = z[i][j];
      const Real own = static_cast<Real>(above[i][j]) * std::min(v, 0.0L);
      expect_near<T>(name, v, a[i][j], v > 0 ? v : slope == 0 ? 0 : slope * v, 1);
      expect_near<T>(name + ", dC_dz", v, delta[i][j], above[i][j] * (v > 0 ? 1 : slope), 1);
      if (!shared) expect_near<T>(name + ", dC_dalpha", v, gradient[i][j], own, 1);
      total += own;
      size += std::abs(own);
    }
    if (shared && std::isfinite(total)) {
      expect_near<T>(name + ", dC_dalpha", z[i][0], gradient[i][0], total, 1, 8 * size);
    }
  }
}

template <class T>
void check_per_neuron(Index n) {
  const string name = typed<T>("per_neuron " + std::to_string(n));
  const Activation choices[] = {{Function::sigmoid}, {Function::relu}, {Function::leaky_relu, 0.5}};
  vector<std::int32_t> choice_of(static_cast<std::size_t>(n));
  for (Index j = 0; j < n; ++j) choice_of[j] = static_cast<std::int32_t>(j < 20 ? j * j % 3 : 2);
  Activation f{Function::per_neuron};
  f.choices = choices;
  f.n_choices = 3;
  f.choice_of = choice_of.data();
  Matrix<T> z(5, n), a(5, n), delta(5, n);
  z.fill(hard_z);
  const Matrix<T> above = delta.fill([](Index, Index) { return uniform() - 0.5L; });
  isa::activation_forward<T>(f, nullptr, z[0], a[0], z.rows, n, z.ld);
  isa::activation_backward<T>(f, nullptr, z[0], a[0], delta[0], nullptr, z.rows, n, z.ld);
  for (int k = 0; k < 3; ++k) {
    Matrix<T> one(5, n), one_delta = above;
    isa::activation_forward<T>(choices[k], nullptr, z[0], one[0], z.rows, n, z.ld);
    isa::activation_backward<T>(choices[k], nullptr, z[0], one[0], one_delta[0], nullptr, z.rows, n, z.ld);
    for (Index i = 0; i < z.rows; ++i) {
      for (Index j = 0; j < n; ++j) {
        if (choice_of[j] != k) continue;
        expect(name, z[i][j], a[i][j] == one[i][j] && delta[i][j] == one_delta[i][j]);
      }
    }
  }
}

// Costs ----------------------------------------------------------------------------------------------------

Real xlogy(Real y, Real a) { return y == 0 && a == a ? 0 : y * std::log(a); }
Real ratio(Real y, Real a) { return y == 0 && a == 0 ? 0 : y / a; }
Real sign(Real d) { return d > 0 ? 1 : d < 0 ? -1 : 0; }

// One output: its value and derivative by a, or by z where the cost is fused. `option` as in Cost.
struct CostCase {
  const char* name;
  CostFunction function;
  double option;
  bool fused, mean;
  Function activation;  // gives a from z
  Real (*target)(Index column);
  Real (*value)(Real z, Real a, Real y, Real option);
  Real (*error)(Real a, Real y, Real option);
};

Real real_target(Index) { return 6 * (uniform() - 0.5L); }
Real count_target(Index) { return std::floor(4 * uniform()); }
Real sign_target(Index) { return uniform() < 0.5L ? -1 : 1; }
Real share_target(Index) {
  const Real u = uniform();
  return u < 0.3L ? 0 : u < 0.6L ? 1 : u;
}
Real class_target(Index column) { return column == 0 ? 0.75L : column == 1 ? 0.25L : 0; }
Real minus(Real a, Real y, Real) { return a - y; }
Real fused_bce(Real z, Real, Real y, Real) {
  return (y == 0 ? 0 : y * softplus(-z)) + (y == 1 ? 0 : (1 - y) * softplus(z));
}
Real bce(Real, Real a, Real y, Real) { return -xlogy(y, a) - xlogy(1 - y, 1 - a); }
Real bce_error(Real a, Real y, Real) { return ratio(1 - y, 1 - a) - ratio(y, a); }
Real huber(Real, Real a, Real y, Real t) {
  const Real d = std::abs(a - y);
  return d <= t ? d * d / 2 : t * (d - t / 2);
}
Real pinball(Real, Real a, Real y, Real q) { return std::max(q * (y - a), (q - 1) * (y - a)); }
Real poisson(Real, Real a, Real y, Real) { return std::isinf(a) ? a : a - xlogy(y, a); }
Real fused_poisson(Real z, Real a, Real y, Real) { return std::isinf(a) ? a : a - (y == 0 ? 0 : y * z); }
Real half_square(Real, Real a, Real y, Real) { return (a - y) * (a - y) / 2; }
Real square(Real, Real a, Real y, Real) { return (a - y) * (a - y); }
Real missing(Real, Real a, Real y, Real) { return std::max(0.0L, 1 - y * a); }

const CostCase kCosts[] = {
    {"quadratic", CostFunction::quadratic, 0, false, false, Function::sigmoid, real_target, half_square,
     minus},
    {"identity & quadratic", CostFunction::quadratic, 0, true, false, Function::hard_tanh, real_target,
     half_square, minus},
    {"mean_squared_error", CostFunction::mean_squared_error, 0, false, true, Function::sigmoid, real_target,
     square, [](Real a, Real y, Real) { return 2 * (a - y); }},
    {"mean_absolute_error", CostFunction::mean_absolute_error, 0, false, true, Function::hard_tanh,
     sign_target, [](Real, Real a, Real y, Real) { return std::abs(a - y); },
     [](Real a, Real y, Real) { return sign(a - y); }},
    {"huber", CostFunction::huber, 0.75, false, true, Function::identity, real_target, huber,
     [](Real a, Real y, Real t) { return std::max(-t, std::min(t, a - y)); }},
    {"log_cosh", CostFunction::log_cosh, 0, false, true, Function::identity, real_target,
     [](Real, Real a, Real y, Real) { return log_cosh(a - y); },
     [](Real a, Real y, Real) { return std::tanh(a - y); }},
    {"pinball", CostFunction::pinball, 0.125, false, true, Function::hard_tanh, sign_target, pinball,
     [](Real a, Real y, Real q) { return a < y   ? -q
                                         : a > y ? 1 - q
                                                 : 0; }},
    {"poisson", CostFunction::poisson, 0, false, false, Function::exponential, count_target, poisson,
     [](Real a, Real y, Real) { return 1 - ratio(y, a); }},
    {"exponential & poisson", CostFunction::poisson, 0, true, false, Function::exponential, count_target,
     fused_poisson, minus},
    {"binary_cross_entropy", CostFunction::binary_cross_entropy, 0, false, false, Function::sigmoid,
     share_target, bce, bce_error},
    {"sigmoid & binary_cross_entropy", CostFunction::binary_cross_entropy, 0, true, false, Function::sigmoid,
     share_target, fused_bce, minus},
    {"cross_entropy", CostFunction::cross_entropy, 0, false, false, Function::softmax, class_target,
     [](Real, Real a, Real y, Real) { return -xlogy(y, a); },
     [](Real a, Real y, Real) { return -ratio(y, a); }},
    // From ln softmax in the place of z.
    {"softmax & cross_entropy", CostFunction::cross_entropy, 0, true, false, Function::softmax, class_target,
     [](Real log_a, Real, Real y, Real) { return y == 0 ? 0 : -y * log_a; }, minus},
    {"hinge", CostFunction::hinge, 0, false, false, Function::identity, sign_target, missing,
     [](Real a, Real y, Real) { return y * a < 1 ? -y : 0; }},
    {"squared_hinge", CostFunction::squared_hinge, 0, false, false, Function::identity, sign_target,
     [](Real z, Real a, Real y, Real o) { return missing(z, a, y, o) * missing(z, a, y, o); },
     [](Real a, Real y, Real o) { return -2 * y * missing(0, a, y, o); }},
};

// The three functions of a cost on one batch give the same bits, and zeros in the padding of delta.
template <class T>
vector<double> run_cost(const string& name, const Cost& cost, Matrix<T>& z, Matrix<T>& a, Matrix<T>& y,
                        const T* weights, Matrix<T>& delta) {
  vector<double> values(static_cast<std::size_t>(z.rows)), alone = values;
  Matrix<T> other = delta;
  isa::cost_and_error<T>(cost, z[0], a[0], y[0], weights, delta[0], values.data(), z.rows, z.n, z.ld);
  isa::cost_values<T>(cost, z[0], a[0], y[0], alone.data(), z.rows, z.n, z.ld);
  isa::output_error<T>(cost, z[0], a[0], y[0], weights, other[0], z.rows, z.n, z.ld);
  expect(name + ", padding", 0, delta.padding_is_zero() && other.padding_is_zero());
  for (Index i = 0; i < z.rows; ++i) {
    const double u = values[i], v = alone[i];
    expect(name + ", value alone", i, u == v || (u != u && v != v));
    for (Index j = 0; j < z.n; ++j) {
      expect(name + ", error alone", i, !(delta[i][j] != other[i][j]) || other[i][j] != other[i][j]);
    }
  }
  return values;
}

template <class T>
void check_cost(const CostCase& c, Index n, double smoothing, bool with_weights) {
  const string name = typed<T>(string(c.name) + " " + std::to_string(n));
  const bool softmax = c.function == CostFunction::cross_entropy;
  Matrix<T> z(21, n), a(21, n), y(21, n), delta(21, n);
  const bool hard = c.fused || c.activation != Function::identity;
  z.fill([&](Index i, Index j) { return hard ? hard_z(i, j) : real_target(j); });
  y.fill([&](Index, Index j) { return c.target(j); });
  isa::activation_forward<T>({c.activation}, nullptr, z[0], a[0], z.rows, n, z.ld);
  vector<T> weights(21);
  for (T& w : weights) w = static_cast<T>(with_weights ? uniform() : 1);
  vector<double> quantiles(static_cast<std::size_t>(n), c.option);
  for (Index j = 1; j < n; ++j) quantiles[j] = 0.5 + 0.25 * static_cast<double>(j) / static_cast<double>(n);
  Cost cost{c.function, with_weights && c.function == CostFunction::pinball ? 0.5 : c.option};
  if (with_weights) cost.quantiles = quantiles.data();
  cost.label_smoothing = smoothing;
  cost.fused = c.fused;
  const vector<double> values = run_cost(name, cost, z, a, y, with_weights ? weights.data() : nullptr, delta);
  for (Index i = 0; i < z.rows; ++i) {
    const vector<Real> log_a = log_softmax(z[i], n);
    Real total = 0, size = 0, targets = 0;
    vector<Real> smooth;
    for (Index j = 0; j < n; ++j) {
      smooth.push_back(smoothing == 0 ? y[i][j] : (1 - smoothing) * y[i][j] + smoothing / (softmax ? n : 2));
      targets += smooth[j];
    }
    const Real units = smoothing == 0 ? 8 : 48;  // 1 - y' loses up to a factor of 20
    for (Index j = 0; j < n; ++j) {
      const Real from = !softmax ? z[i][j] : log_a[j] < -1e30L ? -kInf : log_a[j];
      const Real option = with_weights && c.function == CostFunction::pinball ? quantiles[j] : c.option;
      const Real each = c.value(from, a[i][j], smooth[j], option);
      total += each;
      size += std::abs(each) + 1;
      const Real share = c.mean ? 1.0L / n : 1, factor = share * weights[i];
      const Real error = c.error(softmax && c.fused ? a[i][j] * targets : a[i][j], smooth[j], option);
      const Real absolute = 8 * factor * (1 + std::abs(smooth[j]));
      expect_near<T>(name + ", error", z[i][j], delta[i][j], error * factor, units, absolute);
    }
    const Real mean = c.mean ? total / n : total;
    expect_near<T>(name, z[i][0], static_cast<T>(values[i]), mean, 4, (c.mean ? size / n : size) * 12);
  }
}

template <class T>
void check_costs(Index n) {
  for (const CostCase& c : kCosts) {
    const bool binary = c.function == CostFunction::binary_cross_entropy;
    const bool smooths = binary || c.function == CostFunction::cross_entropy;
    for (const bool with_weights : {false, true}) {
      check_cost<T>(c, n, 0, with_weights);
      if (smooths) check_cost<T>(c, n, 0.1, with_weights);
    }
  }
}

template <class T>
void check_correct() {
  const T nan = static_cast<T>(kNaN);
  Matrix<T> a(6, 3), y(6, 3);
  const T outputs[6][3] = {{1, 3, 2}, {3, 3, 2}, {1, nan, 9}, {2, 0, 1}, {0, 0, 0}, {1, nan, nan}};
  const Index classes[6] = {1, 0, 1, 1, 0, 0};
  a.fill([&](Index i, Index j) { return outputs[i][j]; });
  y.fill([&](Index i, Index j) { return one_if(j == classes[i]); });
  expect("largest", 0, isa::count_correct<T>(Rule::largest, 0, a[0], y[0], 6, 3, a.ld) == 4);
  expect("none", 0, isa::count_correct<T>(Rule::none, 0, a[0], y[0], 6, 3, a.ld) == 0);
  const T sides[6][3] = {{0, 3, 0}, {1, 0, 0}, {0, nan, 0}, {0, 1, T(0.5)}, {T(0.51), T(0.5), 0}, {1, 0, 1}};
  a.fill([&](Index i, Index j) { return sides[i][j]; });
  expect("threshold", 0, isa::count_correct<T>(Rule::threshold, 0.5, a[0], y[0], 6, 3, a.ld) == 4);
}

template <class T>
void check_all() {
  check_mathematics<T>();
  for (const Case& c : kCases) check_elementwise<T>(c);
  for (const Index n : kSizes) {
    check_softmax<T>(n);
    check_prelu<T>(n, false);
    check_prelu<T>(n, true);
    check_per_neuron<T>(n);
    check_costs<T>(n);
  }
  check_correct<T>();
}

void check_both() {
  check_all<float>();
  check_all<double>();
}

}  // namespace

int main() {
  check_both();
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | 0x8040);  // results and operands that are denormal count as 0, as in the engine
  check_both();
#endif
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
