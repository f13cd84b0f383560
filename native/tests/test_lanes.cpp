// The kernels of small networks: products, sums and gathering against plain code in long double, costs and
// counting against the kernels that work on rows.
#include "kernel_test.hpp"

using std::vector;

template <class T>
static vector<T> numbers(Index count) {
  vector<T> x(static_cast<std::size_t>(count));
  for (T& each : x) each = static_cast<T>(number());
  return x;
}

template <class T>
static Index padded(Index rows) {
  return (rows + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Whether two numbers agree to a few roundings of sums that size; NaN is like NaN.
template <class T>
static bool near(T got, Real want, Real size) {
  if (!std::isfinite(want)) return static_cast<Real>(got) == want || (std::isnan(got) && std::isnan(want));
  return std::fabs(got - want) <= 8 * std::numeric_limits<T>::epsilon() * (1 + size);
}

constexpr Index kSizes[] = {1, 2, 3, 4, 5, 8, 11, 16, 17, 33};
constexpr Index kRows[] = {1, 2, 7, 8, 15, 16, 17, 33, 50, 100};

template <class T>
static void test_gather() {
  const Kernels<T>& k = table_of<T>();
  for (const Index n : kSizes) {
    for (const Index rows : kRows) {
      const Index width = padded<T>(rows), stride = n + 3;
      const vector<T> X = numbers<T>(40 * stride);
      vector<std::int64_t> which(static_cast<std::size_t>(rows) + 5);
      for (std::int64_t& i : which) i = std::rand() % 40;
      vector<T> lanes(static_cast<std::size_t>(n * width + 1), T(-77));
      k.lanes_gather({X.data(), stride, n, which.data(), rows, 5}, lanes.data(), width);
      for (Index x = 0; x < width; ++x) {
        const Index row = which[static_cast<std::size_t>(std::min(x, rows - 1))];
        for (Index j = 0; j < n; ++j)
          check(lanes[j * width + x] == X[row * stride + j], "gather", n, rows, x);
      }
      check(lanes.back() == T(-77), "a write after the end of what is gathered", n, rows);
      vector<T> back(static_cast<std::size_t>(rows * n + 1), T(-77));
      k.lanes_rows(lanes.data(), width, rows, n, back.data());
      for (Index i = 0; i < rows * n; ++i) {
        check(back[i] == X[which[i / n] * stride + i % n], "rows from lanes", n, rows, i);
      }
      check(back.back() == T(-77), "a write after the end of the rows", n, rows);
    }
  }
}

template <class T>
static void test_products(Index n_in, Index n_out, Index rows) {
  const Kernels<T>& k = table_of<T>();
  const Index width = padded<T>(rows);
  const vector<T> W = numbers<T>(n_in * n_out), b = numbers<T>(n_out), a = numbers<T>(n_in * width),
                  delta = numbers<T>(n_out * width);
  for (const Function f : {Function::identity, Function::relu, Function::tanh}) {
    Activation activation;
    activation.function = f;
    for (const bool biases : {false, true}) {
      const LanesLayer<T> layer{n_in, n_out, &activation, W.data(), n_in, 1, biases ? b.data() : nullptr};
      vector<T> z(static_cast<std::size_t>(n_out * width)), out(z), same(z);
      k.lanes_forward(layer, a.data(), z.data(), out.data(), width);
      if (f != Function::tanh) k.lanes_forward(layer, a.data(), same.data(), same.data(), width);
      for (Index i = 0; i < n_out * width; ++i) {
        const Index j = i / width, x = i % width;
        Real want = biases ? b[j] : 0, size = 1;
        for (Index m = 0; m < n_in; ++m) {
          want += static_cast<Real>(W[j * n_in + m]) * a[m * width + x];
          size += std::fabs(static_cast<Real>(W[j * n_in + m]) * a[m * width + x]);
        }
        check(near(z[i], want, size), "forward", n_in, n_out, rows);
        const T by_hand = f == Function::relu   ? std::max(z[i], T(0))
                          : f == Function::tanh ? std::tanh(z[i])
                                                : z[i];
        check(near(out[i], by_hand, 1), "activation", n_in, n_out, rows);
        check(f == Function::tanh || same[i] == out[i], "in place", n_in, n_out, rows);
      }
    }
  }
  Activation identity;
  vector<T> along_neurons(W);
  for (Index i = 0; i < n_in * n_out; ++i) along_neurons[i % n_in * n_out + i / n_in] = W[i];
  const LanesLayer<T> layer{n_in, n_out, &identity, along_neurons.data(), 1, n_out, b.data()};
  vector<T> into(static_cast<std::size_t>(n_in * width)), sloped(into);
  k.lanes_back(layer, delta.data(), nullptr, into.data(), width);
  k.lanes_back(layer, delta.data(), a.data(), sloped.data(), width);
  for (Index i = 0; i < n_in * width; ++i) {
    const Index m = i / width, x = i % width;
    Real want = 0, size = 1;
    for (Index j = 0; j < n_out; ++j) {
      want += static_cast<Real>(W[j * n_in + m]) * delta[j * width + x];
      size += std::fabs(static_cast<Real>(W[j * n_in + m]) * delta[j * width + x]);
    }
    check(near(into[i], want, size), "back", n_in, n_out, rows);
    check(sloped[i] == (a[i] > T(0) ? into[i] : T(0)), "back through a rectifier", n_in, n_out, rows);
  }
}

// A gradient by sums, in one stretch and in two, and by rows.
template <class T>
static void test_gradient(Index n_fast, Index n_slow, Index rows) {
  const Kernels<T>& k = table_of<T>();
  const Index width = padded<T>(rows), weights = n_fast * n_slow, count = padded<T>(weights + n_slow);
  const vector<T> fast = numbers<T>(n_fast * width);
  vector<T> slow = numbers<T>(n_slow * width);
  for (Index i = 0; i < n_slow * width; ++i) {
    if (i % width >= rows) slow[i] = T(0);  // as the errors of lanes without an example are
  }
  vector<T> sums(static_cast<std::size_t>(count * kLanes<T>)), gradient(static_cast<std::size_t>(count)),
      at_once(static_cast<std::size_t>(weights) + 1, T(-77)),
      room(static_cast<std::size_t>(width * kLanes<T>));
  k.lanes_by_rows(
      {slow.data(), fast.data(), n_slow, n_fast, rows, width, at_once.data(), true, 0.5, room.data()});
  check(at_once.back() == T(-77), "a write after the end of a gradient", n_fast, n_slow, rows);
  for (const int stretches : {1, 2}) {
    for (int s = 0; s < stretches; ++s) {
      k.lanes_sums(
          {slow.data(), fast.data(), n_slow, n_fast, rows, width, sums.data(), s == 0, 0.5, nullptr});
      k.lanes_bias_sums(slow.data(), n_slow, width, sums.data() + weights * kLanes<T>, s == 0);
    }
    k.lanes_total(sums.data(), count, 0.5, gradient.data());
    for (Index i = 0; i < count; ++i) {
      const bool bias = i >= weights, padding = i >= weights + n_slow;
      Real want = 0, size = 1;
      for (Index x = 0; x < rows && !padding; ++x) {
        const Real d = slow[(bias ? i - weights : i / n_fast) * width + x];
        const Real each = bias ? d : d * fast[(i % n_fast) * width + x];
        want += stretches * 0.5L * each;
        size += std::fabs(each);
      }
      check(near(gradient[i], want, size), "gradient", n_fast, n_slow, rows);
      if (stretches == 1 && !bias)
        check(near(at_once[i], want, size), "gradient by rows", n_fast, n_slow, rows);
    }
  }
}

// A batch in lanes and the same in rows, whose kernels are tested on their own.
template <class T>
struct Both {
  Index rows, n, width, ld;
  vector<T> z, a, y, weights, delta;
  vector<T> row_z, row_a, row_y, row_delta;
  vector<double> costs;

  Both(Index rows_, Index n_) : rows(rows_), n(n_), width(padded<T>(rows_)), ld((n_ + 15) / 16 * 16) {
    z = a = y = delta = vector<T>(static_cast<std::size_t>(n * width));
    row_z = row_a = row_y = row_delta = vector<T>(static_cast<std::size_t>(rows * ld));
    weights = numbers<T>(width);
    for (T& w : weights) w += T(1.5);
    costs.resize(static_cast<std::size_t>(rows));
  }
  void spread(const vector<T>& from, vector<T>& to) const {
    for (Index i = 0; i < n * width; ++i) to[i] = from[std::min(i % width, rows - 1) * ld + i / width];
  }
  LanesBatch<T> lanes(bool weighted) {
    return {z.data(), a.data(), y.data(), weighted ? weights.data() : nullptr, delta.data(), rows, n, width};
  }
};

template <class T>
static void compare_costs(const Cost& cost, Both<T>& b, bool weighted) {
  const Kernels<T>& k = table_of<T>();
  k.cost_and_error(cost, b.row_z.data(), b.row_a.data(), b.row_y.data(),
                   weighted ? b.weights.data() : nullptr, b.row_delta.data(), b.costs.data(), b.rows, b.n,
                   b.ld);
  double want = 0, size = 0;
  for (Index x = 0; x < b.rows; ++x) {
    want += b.costs[x] * (weighted ? static_cast<double>(b.weights[x]) : 1.0);
    size += std::abs(want);
  }
  const int which = static_cast<int>(cost.function);
  const double got = k.lanes_cost(cost, b.lanes(weighted));
  check(near(static_cast<T>(got), want, size), "cost", which, b.rows, b.n);
  for (Index i = 0; i < b.n * b.width; ++i) {
    const Index j = i / b.width, x = i % b.width;
    if (x >= b.rows) {
      check(b.delta[i] == T(0), "the error of a lane without an example", which, b.rows, b.n);
    } else {
      const T row = b.row_delta[x * b.ld + j];
      check(near(b.delta[i], row, std::fabs(row)), "error", which, b.rows, b.n);
    }
  }
}

template <class T>
static void test_costs(Index rows, Index n) {
  const Kernels<T>& k = table_of<T>();
  vector<double> quantiles;
  for (Index j = 0; j < n; ++j) quantiles.push_back((j + 1.0) / (n + 1.0));
  for (int which = 0; which <= static_cast<int>(CostFunction::binary_focal); ++which) {
    for (const bool fused : {false, true}) {
      Cost cost;
      cost.function = static_cast<CostFunction>(which);
      cost.option = 0.3;
      cost.fused = fused;
      cost.label_smoothing = rows % 2 == 0 ? 0.1 : 0.0;
      cost.quantiles = rows % 2 == 0 ? quantiles.data() : nullptr;
      Activation f;
      const bool classes =
          cost.function == CostFunction::cross_entropy || cost.function == CostFunction::focal;
      f.function = classes                                  ? Function::softmax
                   : cost.function == CostFunction::poisson ? Function::exponential
                                                            : Function::sigmoid;
      if (fused &&
          (cost.function == CostFunction::quadratic || cost.function == CostFunction::mean_squared_error)) {
        f.function = Function::identity;
      }
      Both<T> b(rows, n);
      for (Index i = 0; i < rows * b.ld; ++i) {
        b.row_z[i] = static_cast<T>(3 * number());
        b.row_y[i] = static_cast<T>(0.5 + 0.5 * number());
      }
      if (rows > 2) b.row_z[b.ld] = std::numeric_limits<T>::infinity();
      if (rows > 7) b.row_z[4 * b.ld] = std::numeric_limits<T>::quiet_NaN();
      k.activation_forward(f, nullptr, b.row_z.data(), b.row_a.data(), rows, n, b.ld);
      b.spread(b.row_z, b.z);
      b.spread(b.row_a, b.a);
      b.spread(b.row_y, b.y);
      compare_costs(cost, b, false);
      compare_costs(cost, b, true);
    }
  }
}

template <class T>
static void test_softmax(Index rows, Index n) {
  const Kernels<T>& k = table_of<T>();
  Both<T> b(rows, n);
  for (T& z : b.row_z) z = static_cast<T>(3 * number());
  for (T& d : b.row_delta) d = static_cast<T>(number());
  if (rows > 2) b.row_z[b.ld] = std::numeric_limits<T>::infinity();
  if (rows > 3) b.row_z[2 * b.ld] = -std::numeric_limits<T>::infinity();
  b.spread(b.row_z, b.z);
  b.spread(b.row_delta, b.delta);
  Activation f;
  f.function = Function::softmax;
  k.activation_forward(f, nullptr, b.row_z.data(), b.row_a.data(), rows, n, b.ld);
  k.activation_backward(f, nullptr, b.row_z.data(), b.row_a.data(), b.row_delta.data(), nullptr, rows, n,
                        b.ld);
  const vector<T> W(static_cast<std::size_t>(n), T(1));
  vector<T> eye(static_cast<std::size_t>(n * n), T(0));
  for (Index j = 0; j < n; ++j) eye[j * n + j] = T(1);
  const vector<T> finite = numbers<T>(n * b.width);
  // Through a layer that hands its input on; infinities would be NaN there, so they are left to the engine.
  const LanesLayer<T> layer{n, n, &f, eye.data(), n, 1, nullptr};
  vector<T> z(finite.size()), a(finite.size());
  k.lanes_forward(layer, finite.data(), z.data(), a.data(), b.width);
  for (Index x = 0; x < b.width; ++x) {
    Real total = 0;
    for (Index j = 0; j < n; ++j) total += std::exp(static_cast<Real>(z[j * b.width + x]));
    for (Index j = 0; j < n; ++j) {
      check(near(a[j * b.width + x], std::exp(static_cast<Real>(z[j * b.width + x])) / total, 1), "softmax",
            rows, n);
    }
  }
  b.spread(b.row_a, b.a);
  k.lanes_slope(f, b.z.data(), b.a.data(), b.delta.data(), n, b.width);
  for (Index i = 0; i < n * b.width; ++i) {
    if (i % b.width >= rows) continue;
    check(near(b.delta[i], b.row_delta[i % b.width * b.ld + i / b.width], 1), "slope of softmax", rows, n);
  }
}

template <class T>
static void test_counting(Index rows, Index n) {
  const Kernels<T>& k = table_of<T>();
  for (int turn = 0; turn < 6; ++turn) {
    Both<T> b(rows, n);
    for (Index i = 0; i < rows * b.ld; ++i) {
      b.row_a[i] = static_cast<T>(std::rand() % 3);
      b.row_y[i] = static_cast<T>(std::rand() % 3);
      if (turn > 2 && std::rand() % 5 == 0) b.row_a[i] = std::numeric_limits<T>::quiet_NaN();
      if (turn > 4 && std::rand() % 5 == 0) b.row_y[i] = std::numeric_limits<T>::quiet_NaN();
    }
    b.spread(b.row_a, b.a);
    b.spread(b.row_y, b.y);
    for (const Rule rule : {Rule::none, Rule::largest, Rule::threshold}) {
      const Index want = k.count_correct(rule, 0.5, b.row_a.data(), b.row_y.data(), rows, n, b.ld);
      check(k.lanes_correct(rule, 0.5, b.lanes(false)) == want, "count", static_cast<int>(rule), rows, n);
    }
  }
}

template <class T>
static void test_all() {
  test_gather<T>();
  for (const Index n : kSizes) {
    for (const Index rows : kRows) {
      for (const Index n_in : {1, 2, 3, 6, 16, 19}) {
        test_products<T>(n_in, n, rows);
        test_gradient<T>(n_in, n, rows);
      }
      test_costs<T>(rows, n);
      test_softmax<T>(rows, n);
      test_counting<T>(rows, n);
    }
  }
}

int main() {
  test_all<float>();
  test_all<double>();
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
