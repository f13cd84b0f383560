// Python's way in: checks and converts, releases the interpreter's lock, and calls the engine.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "check_program.hpp"
#include "engine.hpp"
#include "permutation.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearprop {
namespace {

template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

template <class Enum>
Enum named(const std::map<std::string, Enum>& names, const std::string& name, const char* what) {
  const auto found = names.find(name);
  if (found == names.end())
    throw std::invalid_argument(std::string("the native engine has no ") + what + " " + name);
  return found->second;
}

const std::map<std::string, Function> kFunctions = {
    {"identity", Function::identity},
    {"sigmoid", Function::sigmoid},
    {"tanh", Function::tanh},
    {"scaled_tanh", Function::scaled_tanh},
    {"relu", Function::relu},
    {"leaky_relu", Function::leaky_relu},
    {"elu", Function::elu},
    {"selu", Function::selu},
    {"gelu", Function::gelu},
    {"gelu_tanh", Function::gelu_tanh},
    {"silu", Function::silu},
    {"mish", Function::mish},
    {"softplus", Function::softplus},
    {"softsign", Function::softsign},
    {"hard_tanh", Function::hard_tanh},
    {"exponential", Function::exponential},
    {"softmax", Function::softmax},
    {"prelu", Function::prelu},
    {"per_neuron", Function::per_neuron},
};

const std::map<std::string, CostFunction> kCosts = {
    {"quadratic", CostFunction::quadratic},
    {"mean_squared_error", CostFunction::mean_squared_error},
    {"mean_absolute_error", CostFunction::mean_absolute_error},
    {"huber", CostFunction::huber},
    {"log_cosh", CostFunction::log_cosh},
    {"pinball", CostFunction::pinball},
    {"poisson", CostFunction::poisson},
    {"binary_cross_entropy", CostFunction::binary_cross_entropy},
    {"cross_entropy", CostFunction::cross_entropy},
    {"hinge", CostFunction::hinge},
    {"squared_hinge", CostFunction::squared_hinge},
};

const std::map<std::string, Kind> kKinds = {
    {"dense", Kind::dense},
    {"activation", Kind::activation},
    {"dropout", Kind::dropout},
    {"alpha_dropout", Kind::alpha_dropout},
    {"batch_norm", Kind::batch_norm},
    {"layer_norm", Kind::layer_norm},
    {"add", Kind::add},
    {"take", Kind::take},
    {"join", Kind::join},
};

const std::map<std::string, OptimizerKind> kOptimizers = {
    {"sgd", OptimizerKind::sgd},           {"momentum", OptimizerKind::momentum},
    {"nesterov", OptimizerKind::nesterov}, {"rmsprop", OptimizerKind::rmsprop},
    {"adam", OptimizerKind::adam},
};

const std::map<std::string, Rule> kRules = {
    {"none", Rule::none}, {"largest", Rule::largest}, {"threshold", Rule::threshold}};

// Reads options from a dictionary, each once; what is left out keeps its value.
class Options {
 public:
  explicit Options(nb::dict values) : values_(std::move(values)) {}

  template <class T>
  Options& get(const char* name, T& into) {
    if (values_.contains(name)) into = nb::cast<T>(values_[name]);
    return *this;
  }

 private:
  nb::dict values_;
};

Activation read_activation(const nb::dict& d, std::vector<Activation>& choices,
                           std::vector<std::int32_t>& of) {
  Activation f;
  f.function = named(kFunctions, nb::cast<std::string>(d["name"]), "activation");
  Options(d).get("option", f.option).get("shared", f.shared).get("choice_of", of);
  if (d.contains("choices")) {
    std::vector<Activation> none;
    std::vector<std::int32_t> nothing;
    for (nb::handle choice : nb::cast<nb::list>(d["choices"])) {
      choices.push_back(read_activation(nb::cast<nb::dict>(choice), none, nothing));
    }
  }
  return f;
}

Operation read_operation(const nb::dict& d) {
  Operation op;
  op.kind = named(kKinds, nb::cast<std::string>(d["kind"]), "operation");
  Options(d)
      .get("input", op.input)
      .get("other", op.other)
      .get("output", op.output)
      .get("n_in", op.n_in)
      .get("n_out", op.n_out)
      .get("parts", op.parts)
      .get("first_column", op.first_column)
      .get("W", op.W)
      .get("b", op.b)
      .get("alpha", op.alpha)
      .get("gamma", op.gamma)
      .get("beta", op.beta)
      .get("mean", op.mean)
      .get("variance", op.variance)
      .get("rate", op.rate)
      .get("epsilon", op.epsilon)
      .get("momentum", op.momentum)
      .get("place", op.place)
      .get("scale_W", op.scale_W)
      .get("scale_b", op.scale_b)
      .get("scale_other", op.scale_other)
      .get("decay_W", op.decay_W)
      .get("decay_b", op.decay_b)
      .get("decay_other", op.decay_other);
  if (d.contains("activation")) {
    op.activation = read_activation(nb::cast<nb::dict>(d["activation"]), op.choices, op.choice_of);
  }
  return op;
}

Program read_program(const nb::dict& d) {
  Program p;
  Options(d)
      .get("n_in", p.n_in)
      .get("n_out", p.n_out)
      .get("n_theta", p.n_theta)
      .get("n_buffers", p.n_buffers)
      .get("sizes", p.sizes);
  for (nb::handle op : nb::cast<nb::list>(d["operations"])) {
    p.operations.push_back(read_operation(nb::cast<nb::dict>(op)));
  }
  const nb::dict cost = nb::cast<nb::dict>(d["cost"]);
  p.cost.function = named(kCosts, nb::cast<std::string>(cost["name"]), "cost");
  Options(cost)
      .get("option", p.cost.option)
      .get("label_smoothing", p.cost.label_smoothing)
      .get("fused", p.cost.fused)
      .get("quantiles", p.quantiles);
  check_program(p);
  return p;
}

Optimizer read_optimizer(const nb::dict& d) {
  Optimizer o;
  o.kind = named(kOptimizers, nb::cast<std::string>(d["name"]), "optimizer");
  Options(d)
      .get("inside", o.inside)
      .get("momentum", o.momentum)
      .get("dampening", o.dampening)
      .get("rho", o.rho)
      .get("beta1", o.beta1)
      .get("beta2", o.beta2)
      .get("epsilon", o.epsilon)
      .get("weight_decay", o.weight_decay)
      .get("centered", o.centered)
      .get("amsgrad", o.amsgrad)
      .get("epsilon_inside", o.epsilon_inside)
      .get("before_correction", o.before_correction)
      .get("l1", o.l1)
      .get("l2", o.l2)
      .get("penalty_divisor", o.penalty_divisor)
      .get("examples", o.examples)
      .get("clip_norm", o.clip_norm)
      .get("clip_value", o.clip_value)
      .get("max_norm", o.max_norm);
  return o;
}

// Releases the interpreter's lock, if what is to be done takes longer than handing it over. For less, threads
// with small networks would wake each other and find it taken again. work: multiplications, roughly.
class Released {
 public:
  explicit Released(double work) {
    if (work > 2e6) release_.emplace();
  }

 private:
  std::optional<nb::gil_scoped_release> release_;
};

// What each example and parameter costs, and what each example costs besides.
double work_of(std::size_t examples, Index n_theta) {
  return static_cast<double>(examples) * (static_cast<double>(n_theta) + 256.0);
}

// More would only wait for one another, and a system may not have them.
constexpr int kMostThreads = 1024;

void check(bool right, const char* message) {
  if (!right) throw std::invalid_argument(message);
}

template <class T>
Index row_stride(const Matrix<const T>& X) {
  check(X.shape(0) == 0 || X.shape(1) <= 1 || X.stride(1) == 1, "rows must be contiguous");
  return X.shape(0) <= 1 ? static_cast<Index>(X.shape(1)) : X.stride(0);
}

// Rows one after another, as the engine writes them.
template <class T>
void check_result(const Matrix<T>& into, std::size_t rows, Index columns, const char* message) {
  check(into.shape(0) == rows && static_cast<Index>(into.shape(1)) == columns, message);
  check(rows == 0 || columns <= 1 || into.stride(1) == 1, "results must be contiguous");
  check(rows <= 1 || into.stride(0) == columns, "results must be contiguous");
}

// The entries of the rows that will be read lie where a CSR matrix of that size has them.
void check_sparse(const Vector<const std::int32_t>& columns, const Vector<const std::int64_t>& starts,
                  const Vector<const std::int64_t>& order, Index n_columns) {
  const auto entries = static_cast<std::int64_t>(columns.shape(0));
  for (std::size_t i = 0; i < order.shape(0); ++i) {
    const std::int64_t begin = starts.data()[order.data()[i]], end = starts.data()[order.data()[i] + 1];
    check(begin >= 0 && end <= entries, "not a CSR matrix");
    for (std::int64_t at = begin; at < end; ++at) {
      check(columns.data()[at] >= 0 && columns.data()[at] < n_columns, "a column that X does not have");
    }
  }
}

template <class T>
Data<T> read_data(const Program& program, const std::optional<Matrix<const T>>& X, const Matrix<const T>& y,
                  const std::optional<Vector<const T>>& weights) {
  Data<T> data;
  if (X) {
    check(static_cast<Index>(X->shape(1)) == program.n_in,
          "X has another number of columns than the network");
    check(X->shape(0) == y.shape(0), "X and y differ in length");
    data.X = X->data();
    data.x_row = row_stride<T>(*X);
  }
  check(static_cast<Index>(y.shape(1)) == program.n_out, "y has another number of columns than the network");
  data.y = y.data();
  data.y_row = row_stride<T>(y);
  if (weights) {
    check(weights->shape(0) == y.shape(0), "weights and y differ in length");
    data.weights = weights->data();
  }
  return data;
}

template <class T>
void bind_machine(nb::module_& m, const char* name) {
  using M = Machine<T>;
  nb::class_<M>(m, name)
      .def(
          "__init__",
          [](M* self, const nb::dict& program, const std::string& isa, int threads) {
            check(threads <= kMostThreads, "too many threads");
            int count = 0;
            const InstructionSet* sets = instruction_sets(&count);
            for (int i = 0; i < count; ++i) {
              if (isa != sets[i].name) continue;
              new (self) M(read_program(program), sets[i], threads < 1 ? 1 : threads);
              return;
            }
            throw std::invalid_argument("this processor has no instruction set " + isa);
          },
          "program"_a, "isa"_a, "threads"_a)
      .def_prop_ro("isa", [](const M& self) { return std::string(self.isa()); })
      .def_prop_ro("threads", &M::threads)
      .def_prop_ro("slot_count", &M::slot_count)
      .def(
          "read_theta",
          [](M& self, const Vector<const T>& theta) {
            check(static_cast<Index>(theta.shape(0)) == self.program().n_theta, "theta has another length");
            const Released released(static_cast<double>(theta.shape(0)));
            self.read_theta(theta.data());
          },
          "theta"_a.noconvert())
      .def(
          "write_theta",
          [](const M& self, const Vector<T>& theta) {
            check(static_cast<Index>(theta.shape(0)) == self.program().n_theta, "theta has another length");
            const Released released(static_cast<double>(theta.shape(0)));
            self.write_theta(theta.data());
          },
          "theta"_a.noconvert())
      .def(
          "read_buffers",
          [](M& self, const Vector<const T>& buffers) {
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            self.read_buffers(buffers.data());
          },
          "buffers"_a.noconvert())
      .def(
          "write_buffers",
          [](const M& self, const Vector<T>& buffers) {
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            self.write_buffers(buffers.data());
          },
          "buffers"_a.noconvert())
      .def(
          "set_optimizer",
          [](M& self, const nb::dict& options) { self.set_optimizer(read_optimizer(options)); }, "options"_a)
      .def(
          "read_slot",
          [](M& self, int slot, const Vector<const T>& flat) {
            check(slot >= 0 && slot < self.slot_count(), "there is no such slot");
            check(static_cast<Index>(flat.shape(0)) == self.program().n_theta, "the slot has another length");
            self.read_slot(slot, flat.data());
          },
          "slot"_a, "flat"_a.noconvert())
      .def(
          "write_slot",
          [](const M& self, int slot, const Vector<T>& flat) {
            check(slot >= 0 && slot < self.slot_count(), "there is no such slot");
            check(static_cast<Index>(flat.shape(0)) == self.program().n_theta, "the slot has another length");
            self.write_slot(slot, flat.data());
          },
          "slot"_a, "flat"_a.noconvert())
      .def(
          "train",
          [](M& self, const std::optional<Matrix<const T>>& X, const std::optional<Vector<const T>>& values,
             const std::optional<Vector<const std::int32_t>>& columns,
             const std::optional<Vector<const std::int64_t>>& starts, const Matrix<const T>& y,
             const std::optional<Vector<const T>>& weights, const Vector<const std::int64_t>& order,
             const std::optional<Vector<const std::int64_t>>& examples, Index batch_size,
             const Vector<const double>& etas, std::uint64_t seed, std::uint64_t first_step,
             Index optimizer_step, double max_seconds, const std::string& rule, double middle,
             const std::optional<Matrix<T>>& outputs, const Vector<double>& costs,
             const Vector<std::int64_t>& correct, const std::optional<nb::callable>& look_at_gradient,
             const std::optional<Vector<T>>& gradient_shown) {
            Steps<T> s;
            s.data = read_data<T>(self.program(), X, y, weights);
            if (!X) {
              check(values && columns && starts, "give X, or the three arrays of a sparse matrix");
              check(starts->shape(0) == y.shape(0) + 1 && values->shape(0) == columns->shape(0),
                    "not a CSR matrix");
              s.data.values = values->data();
              s.data.columns = columns->data();
              s.data.starts = starts->data();
            }
            check(batch_size >= 1 && etas.shape(0) >= 1, "a step needs at least one example and a rate");
            const Index n = static_cast<Index>(y.shape(0));
            for (std::size_t i = 0; i < order.shape(0); ++i) {
              check(order.data()[i] >= 0 && order.data()[i] < n,
                    "order names an example that does not exist");
            }
            if (!X) check_sparse(*columns, *starts, order, self.program().n_in);
            check(!examples || examples->shape(0) == order.shape(0), "examples and order differ in length");
            s.order = order.data();
            s.examples = examples ? examples->data() : nullptr;
            s.n_order = static_cast<Index>(order.shape(0));
            s.batch_size = batch_size;
            s.etas = etas.data();
            s.n_etas = static_cast<Index>(etas.shape(0));
            s.seed = seed;
            s.first_step = first_step;
            s.optimizer_step = optimizer_step;
            s.max_steps = static_cast<Index>(costs.shape(0));
            check(correct.shape(0) == costs.shape(0), "costs and correct differ in length");
            s.max_seconds = max_seconds;
            s.rule = named(kRules, rule, "rule");
            s.middle = middle;
            if (outputs) {
              check_result<T>(*outputs, order.shape(0), self.program().n_out, "outputs have another shape");
              s.outputs = outputs->data();
            }
            s.costs = costs.data();
            s.correct = correct.data();
            check(!look_at_gradient || (gradient_shown && static_cast<Index>(gradient_shown->shape(0)) ==
                                                              self.program().n_theta),
                  "a gradient to look at needs an array as long as theta");
            // Python looks at an array of its own, which it may keep.
            const std::function<void(T*)> look = [&](T* gradient) {
              const nb::gil_scoped_acquire acquire;
              const FlushToZero python_keeps_denormals(false);
              const std::size_t n = static_cast<std::size_t>(self.program().n_theta);
              std::copy(gradient, gradient + n, gradient_shown->data());
              (*look_at_gradient)();
              std::copy(gradient_shown->data(), gradient_shown->data() + n, gradient);
            };
            if (look_at_gradient) s.look_at_gradient = &look;
            Done done;
            {
              const Released released(work_of(order.shape(0), self.program().n_theta));
              done = self.train(s);
            }
            return std::pair<Index, bool>(done.steps, done.finite);
          },
          "X"_a.none().noconvert(), "values"_a.none().noconvert(), "columns"_a.none().noconvert(),
          "starts"_a.none().noconvert(), "y"_a.noconvert(), "weights"_a.none().noconvert(),
          "order"_a.noconvert(), "examples"_a.none().noconvert(), "batch_size"_a, "etas"_a.noconvert(),
          "seed"_a, "first_step"_a, "optimizer_step"_a, "max_seconds"_a, "rule"_a, "middle"_a,
          "outputs"_a.none().noconvert(), "costs"_a.noconvert(), "correct"_a.noconvert(),
          "look_at_gradient"_a.none(), "gradient_shown"_a.none().noconvert() = nb::none())
      .def(
          "output",
          [](M& self, const Matrix<const T>& X, const std::optional<Matrix<T>>& z, const Matrix<T>& a) {
            check(static_cast<Index>(X.shape(1)) == self.program().n_in, "X has another number of columns");
            check_result<T>(a, X.shape(0), self.program().n_out, "a has another shape");
            if (z) check_result<T>(*z, X.shape(0), self.program().n_out, "z has another shape");
            const Index x_row = row_stride<T>(X);
            const Released released(work_of(X.shape(0), self.program().n_theta));
            self.output(X.data(), x_row, static_cast<Index>(X.shape(0)), z ? z->data() : nullptr, a.data());
          },
          "X"_a.noconvert(), "z"_a.none().noconvert(), "a"_a.noconvert())
      .def(
          "look",
          [](M& self, const Matrix<const T>& X, const Matrix<const T>& y,
             const std::optional<Vector<const T>>& weights, bool training, std::uint64_t seed,
             std::uint64_t step, const Vector<const std::int64_t>& examples, bool records,
             const Vector<T>& gradient, const Vector<T>& buffers, const std::optional<Matrix<T>>& z,
             const Matrix<T>& a) {
            const Data<T> data = read_data<T>(self.program(), X, y, weights);
            const Index rows = static_cast<Index>(y.shape(0));
            check(examples.shape(0) == y.shape(0), "examples and y differ in length");
            check(rows >= 1, "a pass needs at least one example");
            check(static_cast<Index>(gradient.shape(0)) == self.program().n_theta,
                  "gradient has another length");
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            check_result<T>(a, y.shape(0), self.program().n_out, "a has another shape");
            if (z) check_result<T>(*z, y.shape(0), self.program().n_out, "z has another shape");
            std::vector<Seen<T>> seen;
            {
              nb::gil_scoped_release release;
              self.look(data, rows, training, seed, step, examples.data(), &seen, gradient.data(),
                        buffers.data(), z ? z->data() : nullptr, a.data(), records);
            }
            nb::list out;
            for (const Seen<T>& s : seen) {
              nb::dict d;
              const auto put = [&](const char* key, const std::vector<T>& numbers) {
                if (numbers.empty()) return;
                T* copy = new T[numbers.size()];
                std::copy(numbers.begin(), numbers.end(), copy);
                nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<T*>(p); });
                d[key] = nb::ndarray<nb::numpy, T, nb::ndim<1>>(copy, {numbers.size()}, owner);
              };
              put("z", s.z);
              put("a", s.a);
              put("mask", s.mask);
              put("x_hat", s.x_hat);
              put("mean", s.mean);
              put("variance", s.variance);
              put("error", s.error);
              put("delta", s.delta);
              put("handed_back", s.handed_back);
              put("alpha_rows", s.alpha_rows);
              out.append(d);
            }
            return out;
          },
          "X"_a.noconvert(), "y"_a.noconvert(), "weights"_a.none().noconvert(), "training"_a, "seed"_a,
          "step"_a, "examples"_a.noconvert(), "records"_a, "gradient"_a.noconvert(), "buffers"_a.noconvert(),
          "z"_a.none().noconvert(), "a"_a.noconvert());
}

}  // namespace
}  // namespace clearprop

NB_MODULE(_native, m) {
  m.doc() = "The native rung's engine; used through clearprop.engines.";
  m.def("instruction_sets", [] {
    int count = 0;
    const clearprop::InstructionSet* sets = clearprop::instruction_sets(&count);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(sets[i].name);
    return names;
  });
  m.def("available_processors", &clearprop::available_processors);
  m.def("permutation", [](const std::string& isa, std::uint32_t key0, std::uint32_t key1,
                          std::uint32_t nonce2, std::uint32_t nonce3, clearprop::Vector<std::int64_t> order) {
    const clearprop::Index n = static_cast<clearprop::Index>(order.shape(0));
    int count = 0;
    const clearprop::InstructionSet* set = clearprop::instruction_sets(&count);
    while (count > 1 && isa != set->name) ++set, --count;
    const auto& kernels = *set->float_kernels;
    const clearprop::Released released(100.0 * static_cast<double>(n));
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(n) + 64);
    kernels.random_numbers(clearprop::Stream{key0, key1, nonce2, nonce3}, keys.data(), n);
    clearprop::sort_by_key(keys.data(), n, order.data());
  });
  clearprop::bind_machine<float>(m, "Machine32");
  clearprop::bind_machine<double>(m, "Machine64");
}
