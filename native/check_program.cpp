#include "check_program.hpp"

#include <stdexcept>

namespace clearprop {

namespace {

// Sizes beyond this fit in no memory, and below it no sum of padded sizes overflows.
constexpr Index kLargest = Index{1} << 48;

void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

void check_size(Index n) { require(n >= 1 && n <= kLargest, "a size is below 1 or too large"); }

// `count` numbers from `begin` on lie within `total`; begin -1 means that there are none, if that is allowed.
void check_place(Index begin, Index count, Index total, bool needed) {
  if (begin == -1 && !needed) return;
  require(begin >= 0 && count <= total && begin <= total - count,
          "an operation names numbers that do not exist");
}

void check_values(const Program& p, const Operation& op, int output) {
  const auto exists = [&](int value) {
    require(value >= 0 && value < output, "an operation names a value that does not exist");
    return p.sizes[static_cast<std::size_t>(value)];
  };
  require(op.output == output, "each operation must give the next value");
  require(op.n_out == p.sizes[static_cast<std::size_t>(output)],
          "an operation has another size than its value");
  Index given = 0;
  if (op.kind == Kind::join) {
    require(!op.parts.empty(), "there is nothing to join");
    for (const int part : op.parts) given += exists(part);
    return require(given == op.n_out, "the parts have another size than what they are joined to");
  }
  given = exists(op.input);
  switch (op.kind) {
    case Kind::dense: return require(op.n_in == given, "a layer has another number of inputs than its input");
    case Kind::take:
      return require(op.first_column >= 0 && op.first_column <= given - op.n_out,
                     "an operation takes columns that do not exist");
    case Kind::add: require(exists(op.other) == op.n_out, "what is added has another size"); break;
    default: break;
  }
  require(given == op.n_out, "an operation has another size than its input");
}

void check_activation(const Program& p, const Operation& op) {
  const Activation& f = op.activation;
  check_place(op.alpha, f.shared ? 1 : op.n_out, p.n_theta, f.function == Function::prelu);
  require(f.function != Function::ordinal || op.n_out >= 2, "ordinal needs two classes or more");
  if (f.function != Function::per_neuron) return;
  require(static_cast<Index>(op.choice_of.size()) == op.n_out, "per_neuron needs one choice for each neuron");
  for (const std::int32_t choice : op.choice_of) {
    require(choice >= 0 && choice < static_cast<std::int32_t>(op.choices.size()), "there is no such choice");
  }
  for (const Activation& choice : op.choices) {
    require(of_one_neuron(choice.function), "an activation that is not of one neuron alone");
  }
}

void check_numbers(const Program& p, const Operation& op) {
  const bool dense = op.kind == Kind::dense, batch = op.kind == Kind::batch_norm;
  const bool norm = batch || op.kind == Kind::layer_norm;
  if (dense) {
    require(op.n_out <= kLargest / op.n_in, "a size is below 1 or too large");
    check_place(op.W, op.n_out * op.n_in, p.n_theta, true);
    check_place(op.b, op.n_out, p.n_theta, false);
  }
  if (dense || op.kind == Kind::activation) {
    check_activation(p, op);
  } else {
    require(op.alpha == -1, "slopes without an activation");
  }
  require(norm || (op.gamma == -1 && op.beta == -1), "gamma and beta without a norm");
  require(batch || (op.mean == -1 && op.variance == -1), "running statistics without batch norm");
  for (const Index begin : {op.gamma, op.beta}) check_place(begin, op.n_out, p.n_theta, norm);
  for (const Index begin : {op.mean, op.variance}) check_place(begin, op.n_out, p.n_buffers, batch);
}

}  // namespace

void check_program(const Program& p) {
  require(p.sizes.size() == p.operations.size() + 1 && !p.operations.empty(),
          "each operation gives one value");
  for (const Index size : p.sizes) check_size(size);
  require(p.sizes.front() == p.n_in && p.sizes.back() == p.n_out,
          "the values have other sizes than the network");
  require(p.n_theta >= 0 && p.n_theta <= kLargest && p.n_buffers >= 0 && p.n_buffers <= kLargest,
          "a size is below 1 or too large");
  for (std::size_t i = 0; i < p.operations.size(); ++i) {
    check_values(p, p.operations[i], static_cast<int>(i) + 1);
    check_numbers(p, p.operations[i]);
  }
  require(!p.cost.fused || !p.cost.ordinal || p.n_out >= 2, "ordinal needs two classes or more");
  require(p.quantiles.empty() || static_cast<Index>(p.quantiles.size()) == p.n_out,
          "there must be one quantile for each output");
}

}  // namespace clearprop
