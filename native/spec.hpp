// What a network is to the kernels: plain numbers, no Python and no instruction set.
//
// Every enumerator has the name that the Python registries use; `bindings.cpp` joins the two.
#pragma once

#include <cstddef>
#include <cstdint>

namespace clearprop {

using Index = std::int64_t;

// Rows of activations, errors and targets are padded with zeros to whole cache lines.
constexpr std::size_t kAlignment = 64;

enum class Function : int {
  identity,
  sigmoid,
  tanh,
  scaled_tanh,
  relu,
  leaky_relu,
  elu,
  selu,
  gelu,
  gelu_tanh,
  silu,
  mish,
  softplus,
  softsign,
  hard_tanh,
  exponential,
  softmax,
  increasing,
  ordinal,
  prelu,
  per_neuron,
};

// Whether each neuron's activation follows from its own z, without parameters.
inline bool of_one_neuron(Function f) {
  return f != Function::softmax && f != Function::increasing && f != Function::ordinal &&
         f != Function::prelu && f != Function::per_neuron;
}

// An activation a = f(z) of a whole layer.
struct Activation {
  Function function = Function::identity;
  double option = 0.0;  // negative_slope of leaky_relu, alpha of elu
  bool shared = false;  // prelu: one alpha for the layer instead of one per neuron
  // per_neuron: the distinct functions, and for each neuron the index of its own.
  const Activation* choices = nullptr;
  Index n_choices = 0;
  const std::int32_t* choice_of = nullptr;
};

enum class CostFunction : int {
  quadratic,
  mean_squared_error,
  mean_absolute_error,
  huber,
  log_cosh,
  pinball,
  poisson,
  binary_cross_entropy,
  cross_entropy,
  hinge,
  squared_hinge,
  focal,
  binary_focal,
};

// A cost, and whether it is computed from z together with its canonical output activation.
struct Cost {
  CostFunction function = CostFunction::quadratic;
  double option = 0.0;                // threshold of huber, quantile of pinball, gamma of the focal costs
  const double* quantiles = nullptr;  // pinball with one quantile per output, (n)
  double label_smoothing = 0.0;
  bool fused = false;    // softmax or ordinal & cross_entropy, sigmoid & binary_cross_entropy, exponential &
                         // poisson, identity & quadratic or mean_squared_error, softmax & focal, sigmoid &
                         // binary_focal
  bool ordinal = false;  // cross_entropy is fused with ordinal, not with softmax
};

// How to tell whether an example was right.
enum class Rule : int { none, largest, threshold };

enum class UpdateRule : int { sgd, momentum, nesterov, rmsprop, adam, adam_largest };

// The numbers of one step of an optimiser for one block of parameters.
struct StepNumbers {
  UpdateRule rule = UpdateRule::sgd;
  bool centred = false, has_velocity = false, epsilon_inside = false;  // of rmsprop
  bool frozen = false;                                                 // parameters keep their bits
  double keep = 1.0;                                                   // 1 - decoupled decay
  double rate = 0.0;
  double inside = 1.0;
  double first = 0.0, second = 0.0, rest1 = 0.0, rest2 = 0.0;
  double epsilon = 0.0;
  double l1 = 0.0, l2 = 0.0;
};

}  // namespace clearprop
