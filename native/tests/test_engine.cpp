// Small networks on the whole engine: gradients by central differences, training, the same bits on any number
// of threads. On every instruction set of the machine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../check_program.hpp"
#include "../engine.hpp"

using namespace clearprop;
using std::vector;

static int failures = 0;

static void check(bool good, const std::string& what) {
  if (!good && ++failures <= 20) std::printf("FAILED: %s\n", what.c_str());
}

static double number() { return 2.0 * std::rand() / RAND_MAX - 1.0; }

template <class T>
static vector<T> numbers(Index count) {
  vector<T> x(static_cast<std::size_t>(count));
  for (T& each : x) each = static_cast<T>(number());
  return x;
}

// ---------------------------------------------------------------------------------------------- Programs

// Builds a program operation by operation; each gives the next value.
struct Builder {
  Program p;

  explicit Builder(Index n_in) {
    p.n_in = n_in;
    p.sizes = {n_in};
  }
  Index size(int value) const { return p.sizes[static_cast<std::size_t>(value)]; }
  Index take(Index count) { return std::exchange(p.n_theta, p.n_theta + count); }

  Operation operation(Kind kind, int input, Index n_out) {
    Operation op;
    op.kind = kind;
    op.input = input;
    op.n_in = size(input);
    op.n_out = n_out;
    op.place = p.operations.size();
    return op;
  }
  int add(Operation op) {
    p.sizes.push_back(op.n_out);
    op.output = static_cast<int>(p.sizes.size()) - 1;
    p.operations.push_back(op);
    return op.output;
  }
  int dense(int input, Index n, Function f, bool biases = true) {
    Operation op = operation(Kind::dense, input, n);
    op.W = take(n * op.n_in);
    if (biases) op.b = take(n);
    op.activation.function = f;
    if (f == Function::prelu) op.alpha = take(n);
    return add(op);
  }
  int norm(int input, Kind kind) {
    Operation op = operation(kind, input, size(input));
    op.gamma = take(op.n_out);
    op.beta = take(op.n_out);
    op.epsilon = 0.01;
    op.momentum = 0.9;
    if (kind == Kind::batch_norm) {
      op.mean = std::exchange(p.n_buffers, p.n_buffers + op.n_out);
      op.variance = std::exchange(p.n_buffers, p.n_buffers + op.n_out);
    }
    return add(op);
  }
  int dropout(int input, Kind kind) {
    Operation op = operation(kind, input, size(input));
    op.rate = 0.3;
    return add(op);
  }
  int sum(int input, int other) {
    Operation op = operation(Kind::add, input, size(input));
    op.other = other;
    return add(op);
  }
  int columns(int input, Index first, Index n) {
    Operation op = operation(Kind::take, input, n);
    op.first_column = first;
    return add(op);
  }
  int join(vector<int> parts) {
    Index n = 0;
    for (const int part : parts) n += size(part);
    Operation op = operation(Kind::join, parts[0], n);
    op.parts = std::move(parts);
    return add(op);
  }
  Program program(CostFunction cost, bool fused) {
    p.n_out = p.sizes.back();
    p.cost.function = cost;
    p.cost.fused = fused;
    check_program(p);
    return p;
  }
};

struct Case {
  std::string name;
  Program program;
};

static vector<Case> cases(Index n_in, Index width, Index n_out) {
  vector<Case> all;
  {
    Builder b(n_in);
    const int h = b.dense(b.dense(0, width, Function::tanh), width + 3, Function::prelu);
    b.dense(h, n_out, Function::identity, false);
    all.push_back({"chain", b.program(CostFunction::quadratic, true)});
  }
  {
    Builder b(n_in);
    const int h = b.dense(0, width, Function::softplus);
    const int body = b.dense(b.dense(h, width + 1, Function::gelu), width, Function::identity);
    const int once = b.sum(body, h);
    b.dense(b.sum(once, once), n_out, Function::sigmoid);
    all.push_back({"residual", b.program(CostFunction::quadratic, false)});
  }
  {
    Builder b(n_in);
    const int h = b.dropout(b.dense(0, width, Function::silu), Kind::dropout);
    b.dense(b.dropout(h, Kind::alpha_dropout), n_out, Function::tanh);
    all.push_back({"dropout", b.program(CostFunction::quadratic, false)});
  }
  {
    Builder b(n_in);
    const int h = b.norm(b.dense(0, width, Function::tanh), Kind::batch_norm);
    b.dense(b.norm(h, Kind::layer_norm), n_out, Function::tanh);
    all.push_back({"norms", b.program(CostFunction::quadratic, false)});
  }
  {
    Builder b(n_in);
    const int left = b.dense(b.columns(0, 0, n_in / 2), width, Function::tanh);
    const int right = b.columns(0, n_in / 2, n_in - n_in / 2);
    const int h = b.join({left, right, left, 0});
    b.dense(b.join({b.columns(h, 1, 3), h}), n_out, Function::tanh);
    all.push_back({"take and join", b.program(CostFunction::quadratic, false)});
  }
  {
    Builder b(n_in);  // in lanes where it is small, else in panels
    const int h = b.dense(b.dense(0, width, Function::tanh), width + 9, Function::silu, false);
    b.dense(h, n_out, Function::identity);
    all.push_back({"plain chain", b.program(CostFunction::quadratic, true)});
  }
  return all;
}

// ---------------------------------------------------------------------------------------------- Looking

template <class T>
struct Batch {
  Index rows, n_in, n_out;
  vector<T> X, y, weights;
  vector<std::int64_t> order;

  Batch(const Program& p, Index rows_)
      : rows(rows_), n_in(p.n_in), n_out(p.n_out), X(numbers<T>(rows_ * n_in)), y(numbers<T>(rows_ * n_out)) {
    for (Index x = 0; x < rows; ++x) weights.push_back(T(0.5 + 0.25 * (x % 4)));
    order.resize(static_cast<std::size_t>(rows));
    std::iota(order.begin(), order.end(), 0);
  }
  Data<T> data() const {
    Data<T> d;
    d.X = X.data();
    d.x_row = n_in;
    d.y = y.data();
    d.y_row = n_out;
    d.weights = weights.data();
    return d;
  }
};

struct Looked {
  double cost = 0.0;
  vector<double> gradient, buffers;
};

// The weighted mean of the quadratic cost, and what a pass gives.
static Looked look(Machine<double>& machine, const Batch<double>& batch, const vector<double>& theta) {
  Looked found;
  found.gradient.resize(theta.size());
  found.buffers.resize(static_cast<std::size_t>(machine.program().n_buffers));
  vector<double> a(batch.y.size());
  vector<Seen<double>> seen;
  machine.read_theta(theta.data());
  machine.look(batch.data(), batch.rows, true, 7, 3, batch.order.data(), &seen, found.gradient.data(),
               found.buffers.data(), nullptr, a.data(), true);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = a[i] - batch.y[i];
    found.cost += 0.5 * d * d * batch.weights[i / static_cast<std::size_t>(batch.n_out)];
  }
  found.cost /= static_cast<double>(batch.rows);
  return found;
}

static void test_gradients(const InstructionSet& set, const Case& c) {
  Machine<double> machine(c.program, set, 1);
  const Batch<double> batch(c.program, 6);
  vector<double> theta = numbers<double>(c.program.n_theta);
  const vector<double> buffers(static_cast<std::size_t>(c.program.n_buffers), 1.0);
  machine.read_buffers(buffers.data());
  const Looked found = look(machine, batch, theta);
  const double h = 1e-5;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double middle = theta[i];
    theta[i] = middle + h;
    const double up = look(machine, batch, theta).cost;
    theta[i] = middle - h;
    const double down = look(machine, batch, theta).cost;
    theta[i] = middle;
    const double want = (up - down) / (2.0 * h);
    check(std::abs(found.gradient[i] - want) < 1e-8 * (1.0 + std::abs(want)),
          c.name + ", " + set.name + ": parameter " + std::to_string(i));
  }
  vector<double> after(buffers.size());
  machine.write_buffers(after.data());
  check(after == buffers, c.name + ": looking changed the running statistics");
  check(buffers.empty() || found.buffers != buffers, c.name + ": new running statistics");
}

// ---------------------------------------------------------------------------------------------- Training

template <class T>
struct Trained {
  vector<T> theta, buffers, outputs;
  vector<double> costs;
  bool operator==(const Trained& other) const {
    return theta == other.theta && buffers == other.buffers && outputs == other.outputs &&
           costs == other.costs;
  }
};

template <class T>
static Trained<T> train(const Program& program, const InstructionSet& set, int threads, OptimizerKind kind,
                        Index rows, Index batch_size, int epochs, bool shaped, bool predicts = false) {
  std::srand(5);
  Machine<T> machine(program, set, threads);
  check(machine.threads() == threads, "number of threads");
  const Batch<T> batch(program, rows);
  Trained<T> found;
  found.theta = numbers<T>(program.n_theta);
  for (T& w : found.theta) w *= T(1.5 / std::sqrt(static_cast<double>(program.n_in)));
  found.buffers.assign(static_cast<std::size_t>(program.n_buffers), T(1));
  found.outputs.resize(batch.y.size());
  machine.read_theta(found.theta.data());
  machine.read_buffers(found.buffers.data());
  Optimizer o;
  o.kind = kind;
  o.momentum = 0.9;
  o.rho = o.beta1 = 0.9;
  o.beta2 = 0.99;
  o.epsilon = 1e-6;
  o.clip_norm = shaped ? 0.5 : 0.0;
  o.l2 = shaped ? 0.001 : 0.0;
  machine.set_optimizer(o);
  const double eta = kind == OptimizerKind::sgd ? 0.02 : 0.002;
  const auto steps = (rows + batch_size - 1) / batch_size;
  vector<double> costs(static_cast<std::size_t>(steps));
  vector<std::int64_t> correct(costs.size());
  for (int epoch = 0; epoch < epochs; ++epoch) {
    Steps<T> s;
    s.data = batch.data();
    s.order = batch.order.data();
    s.n_order = rows;
    s.batch_size = batch_size;
    s.etas = &eta;
    s.seed = 3;
    s.first_step = s.optimizer_step = epoch * steps;
    s.max_steps = steps;
    s.max_seconds = 1e9;
    s.costs = costs.data();
    s.correct = correct.data();
    const Done done = machine.train(s);
    check(done.steps == steps && done.finite, "all steps are done");
    check(machine.is_finite(), "the parameters are finite");
    if (predicts) machine.output(batch.X.data(), batch.n_in, rows, nullptr, found.outputs.data());
    found.costs.push_back(std::accumulate(costs.begin(), costs.end(), 0.0));
  }
  machine.write_theta(found.theta.data());
  machine.write_buffers(found.buffers.data());
  machine.output(batch.X.data(), batch.n_in, rows, nullptr, found.outputs.data());
  return found;
}

template <class T>
static void test_training(const InstructionSet& set, const Case& c) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::momentum, OptimizerKind::nesterov,
                                   OptimizerKind::rmsprop, OptimizerKind::adam}) {
    const Trained<T> found = train<T>(c.program, set, 1, kind, 45, 10, 20, false);
    const std::string what =
        c.name + ", " + set.name + ", optimiser " + std::to_string(static_cast<int>(kind));
    check(found.costs.back() < 0.9 * found.costs.front(), what + ": the cost falls");
    check(std::all_of(found.theta.begin(), found.theta.end(), [](T w) { return std::isfinite(w); }), what);
  }
}

// Wide enough that each kind of work is shared out.
template <class T>
static void test_threads(const InstructionSet& set, const Case& c) {
  for (const bool shaped : {false, true}) {
    const auto run = [&](int threads) {
      return train<T>(c.program, set, threads, OptimizerKind::adam, 190, 100, 2, shaped);
    };
    const Trained<T> one = run(1);
    for (const int threads : {2, 3}) {
      check(run(threads) == one,
            c.name + ", " + set.name + ": bits with " + std::to_string(threads) + " threads");
    }
  }
}

// All rows at once are more than a batch: there is more room for them, and then for batches as before.
template <class T>
static void test_predictions_between_epochs(const InstructionSet& set, const Case& c) {
  const auto run = [&](bool predicts) {
    return train<T>(c.program, set, 1, OptimizerKind::adam, 45, 10, 4, false, predicts);
  };
  check(run(true) == run(false), c.name + ", " + set.name + ": bits with predictions between epochs");
}

// With single examples an update leaves z of the next one behind, which no prediction may take for its own.
static void test_prediction_after_a_run_that_was_cut_short(const InstructionSet& set) {
  const Program program = cases(600, 600, 2)[0].program;  // so large that the clock is looked at on the way
  const Batch<float> batch(program, 9);
  vector<float> theta = numbers<float>(program.n_theta);
  for (float& w : theta) w *= 0.05f;
  Machine<float> machine(program, set, 1);
  machine.read_theta(theta.data());
  const double eta = 0.01;
  Steps<float> s;
  s.data = batch.data();
  s.order = batch.order.data();
  s.n_order = 9;
  s.etas = &eta;
  vector<double> costs(9);
  vector<std::int64_t> correct(9);
  s.max_steps = 9;
  s.costs = costs.data();
  s.correct = correct.data();
  const Done done = machine.train(s);
  check(done.steps < 9 && done.finite, std::string(set.name) + ": the run is cut short");
  vector<float> found(batch.y.size()), wanted(batch.y.size());
  machine.output(batch.X.data(), batch.n_in, 9, nullptr, found.data());
  machine.write_theta(theta.data());
  Machine<float> fresh(program, set, 1);
  fresh.read_theta(theta.data());
  fresh.output(batch.X.data(), batch.n_in, 9, nullptr, wanted.data());
  check(found == wanted, std::string(set.name) + ": a prediction after a run that was cut short");
}

// A number of the program's own, not what pads a vector.
static void test_parameters_that_are_not_finite(const InstructionSet& set) {
  for (const Index n : {3, 40}) {  // a small network, and panels
    const Program program = cases(4, n, 2)[0].program;
    Machine<double> machine(program, set, 1);
    vector<double> theta = numbers<double>(program.n_theta);
    for (const double broken : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      for (double& w : theta) {
        const double whole = w;
        w = broken;
        machine.read_theta(theta.data());
        check(!machine.is_finite(), std::string(set.name) + ": a parameter that is not finite");
        w = whole;
      }
    }
    machine.read_theta(theta.data());
    check(machine.is_finite(), std::string(set.name) + ": finite parameters");
  }
}

static void test_one_example_with_batch_norm(const InstructionSet& set) {
  const Case c = cases(4, 5, 2)[3];
  bool refused = false;
  try {
    train<float>(c.program, set, 1, OptimizerKind::sgd, 11, 10, 1, false);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  check(refused, "BatchNorm with one example");
}

static void test_cost_that_is_not_finite(const InstructionSet& set) {
  const Program program = cases(4, 5, 2)[0].program;
  Machine<double> machine(program, set, 1);
  Batch<double> batch(program, 9);
  batch.X[4 * 4] = std::nan("");  // the fifth example: in the second batch of three
  const vector<double> theta = numbers<double>(program.n_theta);
  machine.read_theta(theta.data());
  const double eta = 0.1;
  vector<double> costs(3);
  vector<std::int64_t> correct(3);
  Steps<double> s;
  s.data = batch.data();
  s.order = batch.order.data();
  s.n_order = 9;
  s.batch_size = 3;
  s.etas = &eta;
  s.max_steps = 3;
  s.max_seconds = 1e9;
  s.costs = costs.data();
  s.correct = correct.data();
  const Done done = machine.train(s);
  check(done.steps == 1 && !done.finite, "a cost that is NaN stops before its update");
  vector<double> after(theta.size());
  machine.write_theta(after.data());
  check(after != theta && std::all_of(after.begin(), after.end(), [](double w) { return std::isfinite(w); }),
        "the parameters before it");
}

int main() {
  int count = 0;
  const InstructionSet* sets = instruction_sets(&count);
  check(count > 0, "no instruction set");
  for (int i = 0; i < count; ++i) {
    for (const Case& c : cases(5, 7, 3)) {
      test_gradients(sets[i], c);
      test_training<float>(sets[i], c);
      test_training<double>(sets[i], c);
      test_predictions_between_epochs<float>(sets[i], c);
    }
    for (const Case& c : cases(330, 331, 3)) {
      test_threads<float>(sets[i], c);
      if (i == 0) test_threads<double>(sets[i], c);
    }
    test_prediction_after_a_run_that_was_cut_short(sets[i]);
    test_parameters_that_are_not_finite(sets[i]);
    test_one_example_with_batch_norm(sets[i]);
    test_cost_that_is_not_finite(sets[i]);
  }
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
