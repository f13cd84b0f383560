#include "bindings_program.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <stdexcept>

#include "check_program.hpp"

namespace nb = nanobind;

namespace clearprop {
namespace {

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
    {"increasing", Function::increasing},
    {"ordinal", Function::ordinal},
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
    {"focal", CostFunction::focal},
    {"binary_focal", CostFunction::binary_focal},
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

}  // namespace

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
      .get("ordinal", p.cost.ordinal)
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

Rule read_rule(const std::string& name) { return named(kRules, name, "rule"); }

const InstructionSet& read_isa(const std::string& name) {
  int count = 0;
  const InstructionSet* sets = instruction_sets(&count);
  for (int i = 0; i < count; ++i) {
    if (name == sets[i].name) return sets[i];
  }
  throw std::invalid_argument("this processor has no instruction set " + name);
}

}  // namespace clearprop
