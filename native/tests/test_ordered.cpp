// Rising outputs, ordered classes and focal costs against plain formulas in long double, whose slopes are taken
// by central differences; and the kernels that work on lanes against those that work on rows.
#include <functional>

#include "kernel_test.hpp"

using std::vector;
using Row = vector<Real>;

constexpr Index kSizes[] = {2, 3, 4, 5, 8, 16, 17, 33, 70};
constexpr Index kRows[] = {1, 3, 8, 17};

static Real sigmoid(Real z) { return 1 / (1 + std::exp(-z)); }
static Real softplus_of(Real z) { return std::log1p(std::exp(-std::fabs(z))) + std::max<Real>(z, 0); }

static Row rising(const Row& z) {
  Row a(z);
  for (std::size_t j = 1; j < z.size(); ++j) a[j] = a[j - 1] + softplus_of(z[j]);
  return a;
}

// The differences of the cumulative probabilities sigma(c_j - s), taken on the side where they do not cancel.
static Row ordered_classes(const Row& z) {
  Row a(z);
  Real below = -INFINITY, cut = z[1] - z[0];
  for (std::size_t j = 0; j < z.size(); ++j) {
    if (j > 0 && j + 1 < z.size()) cut += softplus_of(z[j + 1]);
    const Real upto = j + 1 < z.size() ? cut : INFINITY;
    a[j] = below > 0 ? sigmoid(-below) - sigmoid(-upto) : sigmoid(upto) - sigmoid(below);
    below = upto;
  }
  return a;
}

static Row shares(const Row& z) {
  Row a(z);
  Real total = 0;
  for (Real& v : a) total += v = std::exp(v);
  for (Real& v : a) v /= total;
  return a;
}

static Row sigmoids(const Row& z) {
  Row a(z);
  for (Real& v : a) v = sigmoid(v);
  return a;
}

using Value = std::function<Real(const Row&)>;

static Real slope(const Value& value, Row z, std::size_t j, Real size = 1) {
  const Real h = 1e-6L * size;
  const Real middle = z[j];
  z[j] = middle + h;
  const Real up = value(z);
  z[j] = middle - h;
  return (up - value(z)) / (2 * h);
}

template <class T>
static bool near(T got, Real want, Real size) {
  const Real units = sizeof(T) == 4 ? 3e-5L : 1e-10L;
  return std::fabs(got - want) <= units * (1 + size);
}

// The same numbers in rows, with NaN in the padding, and side by side.
template <class T>
struct Numbers {
  Index rows, n, ld, width;
  vector<T> row, lanes;

  Numbers(Index rows_, Index n_)
      : rows(rows_),
        n(n_),
        ld((n_ + 15) / 16 * 16 + 16),
        width((rows_ + kLanes<T> - 1) / kLanes<T> * kLanes<T>),
        row(static_cast<std::size_t>(rows * ld), std::numeric_limits<T>::quiet_NaN()),
        lanes(static_cast<std::size_t>(n * width)) {}

  template <class Number>
  Numbers& fill(const Number& number_of) {
    for (Index x = 0; x < rows; ++x)
      for (Index j = 0; j < n; ++j) row[x * ld + j] = static_cast<T>(number_of(x, j));
    return spread();
  }
  Numbers& spread() {
    for (Index i = 0; i < n * width; ++i) lanes[i] = row[std::min(i % width, rows - 1) * ld + i / width];
    return *this;
  }
  Row of(Index x) const { return Row(&row[x * ld], &row[x * ld + n]); }
  void check_padding(const char* what) const {
    for (Index i = 0; i < rows * ld; ++i) check(i % ld < n || row[i] == T(0), what, rows, n, i);
  }
  // Whether the lanes hold what the rows do.
  void check_same(const char* what) const {
    for (Index i = 0; i < n * width; ++i) {
      const T mine = lanes[i], theirs = row[std::min(i % width, rows - 1) * ld + i / width];
      if (i % width < rows) check(near(mine, theirs, std::fabs(theirs)), what, rows, n, i);
    }
  }
};

template <class T>
static void test_activation(Function function, Row (*f)(const Row&), Index rows, Index n) {
  const Kernels<T>& k = table_of<T>();
  Activation activation;
  activation.function = function;
  Numbers<T> z(rows, n), a(rows, n), delta(rows, n);
  z.fill([](Index, Index) { return 4 * number(); });
  delta.fill([](Index, Index) { return number(); });
  const Numbers<T> above = delta;
  k.activation_forward(activation, nullptr, z.row.data(), a.row.data(), rows, n, z.ld);
  a.check_padding("padding of a");
  k.activation_backward(activation, nullptr, z.row.data(), a.row.data(), delta.row.data(), nullptr, rows, n,
                        z.ld);
  delta.check_padding("padding of delta");
  for (Index x = 0; x < rows; ++x) {
    const Row from = z.of(x), want = f(from), pull = above.of(x);
    const Value value = [&](const Row& moved) {
      const Row out = f(moved);
      Real sum = 0;
      for (std::size_t j = 0; j < out.size(); ++j) sum += pull[j] * out[j];
      return sum;
    };
    for (Index j = 0; j < n; ++j) {
      check(near(a.row[x * z.ld + j], want[j], std::fabs(want[j])), "value", static_cast<Index>(function), n,
            j);
      check(near(delta.row[x * z.ld + j], slope(value, from, j), n), "slope", static_cast<Index>(function), n,
            j);
    }
  }
  // One layer that hands on its inputs, so that its z are the numbers of the rows.
  vector<T> W(static_cast<std::size_t>(n * n)), same(z.lanes);
  for (Index j = 0; j < n; ++j) W[j * n + j] = T(1);
  k.lanes_forward({n, n, &activation, W.data(), n, 1, nullptr}, z.lanes.data(), same.data(), a.lanes.data(),
                  z.width);
  a.check_same("value in lanes");
  delta.lanes = Numbers<T>(above).spread().lanes;
  a.spread();
  k.lanes_slope(activation, z.lanes.data(), a.lanes.data(), delta.lanes.data(), n, z.width);
  delta.check_same("slope in lanes");
}

struct CostCase {
  const char* name;
  CostFunction function;
  bool fused, ordinal;
  Function output;
  Row (*f)(const Row&);
  Real (*each)(Real a, Real y, Real option);
};

static Real cross_entropy(Real a, Real y, Real) { return -y * std::log(a); }
static Real focal(Real a, Real y, Real g) { return -y * std::pow(1 - a, g) * std::log(a); }
static Real binary_focal(Real a, Real y, Real g) { return focal(a, y, g) + focal(1 - a, 1 - y, g); }

const CostCase kCosts[] = {
    {"ordinal & cross_entropy", CostFunction::cross_entropy, true, true, Function::ordinal, ordered_classes,
     cross_entropy},
    {"softmax & focal", CostFunction::focal, true, false, Function::softmax, shares, focal},
    {"focal", CostFunction::focal, false, false, Function::softmax, shares, focal},
    {"sigmoid & binary_focal", CostFunction::binary_focal, true, false, Function::sigmoid, sigmoids,
     binary_focal},
    {"binary_focal", CostFunction::binary_focal, false, false, Function::sigmoid, sigmoids, binary_focal},
};

template <class T>
static void test_cost(const CostCase& c, double option, Index rows, Index n, bool weighted) {
  const Kernels<T>& k = table_of<T>();
  Activation activation;
  activation.function = c.output;
  Cost cost;
  cost.function = c.function;
  cost.option = option;
  cost.fused = c.fused;
  cost.ordinal = c.ordinal;
  Numbers<T> z(rows, n), a(rows, n), y(rows, n), delta(rows, n);
  z.fill([](Index, Index) { return 2 * number(); });
  y.fill([&](Index, Index) { return (1 + number()) / 2; });
  vector<T> weights(static_cast<std::size_t>(z.width));
  for (T& w : weights) w = static_cast<T>(1.5 + number());
  const T* w = weighted ? weights.data() : nullptr;
  vector<double> values(static_cast<std::size_t>(rows));
  k.activation_forward(activation, nullptr, z.row.data(), a.row.data(), rows, n, z.ld);
  a.spread();
  k.cost_and_error(cost, z.row.data(), a.row.data(), y.row.data(), w, delta.row.data(), values.data(), rows,
                   n, z.ld);
  delta.check_padding(c.name);
  Real total = 0;
  for (Index x = 0; x < rows; ++x) {
    const Row target = y.of(x), from = c.fused ? z.of(x) : a.of(x);
    const Value value = [&](const Row& moved) {
      const Row out = c.fused ? c.f(moved) : moved;
      Real sum = 0;
      for (std::size_t j = 0; j < out.size(); ++j) sum += c.each(out[j], target[j], option);
      return sum;
    };
    const Real weight = weighted ? weights[x] : 1, want = value(from);
    total += weight * static_cast<Real>(values[x]);
    check(near(static_cast<T>(values[x]), want, want), c.name, n, x);
    for (Index j = 0; j < n; ++j) {
      // An unfused cost is one of each output alone; the others would only add roundings.
      const Value alone = [&](const Row& moved) { return c.each(moved[j], target[j], option); };
      const Real error = weight * slope(c.fused ? value : alone, from, j, c.fused ? 1 : from[j]);
      check(near(delta.row[x * z.ld + j], error, c.fused ? n : 30 * std::fabs(error)), c.name, n, x, j);
    }
  }
  const double sum = k.lanes_cost(
      cost, {z.lanes.data(), a.lanes.data(), y.lanes.data(), w, delta.lanes.data(), rows, n, z.width});
  check(near(static_cast<T>(sum), total, std::fabs(total)), c.name, rows, n);
  delta.check_same(c.name);
  for (Index i = 0; i < n * z.width; ++i)
    check(i % z.width < rows || delta.lanes[i] == T(0), c.name, rows, n);
}

// Where exp or a sum would overflow: no NaN, probabilities that sum to 1, and a delta that is finite.
template <class T>
static void test_far_out() {
  const Kernels<T>& k = table_of<T>();
  const T inf = std::numeric_limits<T>::infinity();
  const T far[][4] = {{1000, -1000, 0, 0}, {-1000, 1000, 500, -500}, {inf, 0, 0, 0},
                      {-inf, 0, inf, 0},   {0, -inf, -inf, -inf},    {inf, inf, inf, inf}};
  for (const Function f : {Function::increasing, Function::ordinal}) {
    Activation activation;
    activation.function = f;
    Numbers<T> z(6, 4), a(6, 4), y(6, 4), delta(6, 4);
    z.fill([&](Index x, Index j) { return far[x][j]; });
    y.fill([](Index x, Index j) { return x % 4 == j ? 1 : 0; });
    delta.fill([](Index, Index) { return 1; });
    k.activation_forward(activation, nullptr, z.row.data(), a.row.data(), 6, 4, z.ld);
    k.activation_backward(activation, nullptr, z.row.data(), a.row.data(), delta.row.data(), nullptr, 6, 4,
                          z.ld);
    for (Index x = 0; x < 6; ++x) {
      const Row out = a.of(x), slopes = delta.of(x);
      Real sum = 0;
      for (Index j = 0; j < 4; ++j) {
        check(!std::isnan(out[j]) && !std::isnan(slopes[j]), "NaN far out", x, j);
        if (f == Function::increasing && j > 0) check(out[j] >= out[j - 1], "a fall", x, j);
        sum += out[j];
      }
      if (f == Function::ordinal) check(near(static_cast<T>(sum), 1, 0), "the sum of probabilities", x);
    }
  }
  Cost cost;
  cost.function = CostFunction::cross_entropy;
  cost.fused = cost.ordinal = true;
  Numbers<T> z(2, 4), a(2, 4), y(2, 4), delta(2, 4);
  z.fill([&](Index x, Index j) { return far[x][j]; });
  a.fill([](Index, Index) { return 0; });
  y.fill([](Index x, Index j) { return j == (x == 0 ? 0 : 3) ? 1 : 0; });
  double values[2];
  k.cost_and_error(cost, z.row.data(), a.row.data(), y.row.data(), nullptr, delta.row.data(), values, 2, 4,
                   z.ld);
  check(values[0] == 2000 && std::fabs(values[1] - 2500) < 1, "the cost of an impossible class");
  check(delta.row[0] == T(1) && delta.row[1] == T(-1), "the error of an impossible class");
}

template <class T>
static void test_all() {
  for (const Index rows : kRows) {
    for (const Index n : kSizes) {
      test_activation<T>(Function::increasing, rising, rows, n);
      test_activation<T>(Function::ordinal, ordered_classes, rows, n);
      for (const CostCase& c : kCosts) {
        for (const double option : {0.0, 0.5, 2.0}) test_cost<T>(c, option, rows, n, n % 2 == 0);
      }
    }
  }
  test_far_out<T>();
}

int main() {
  test_all<float>();
  test_all<double>();
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
