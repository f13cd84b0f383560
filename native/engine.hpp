// Training and running a network with the kernels of one instruction set. No Python in it.
//
// A network is a program: operations on values, one value per matrix of activations; value 0 is the input.
// Parameters and the optimiser's slots lie in the kernels' own layout (panels) between `read` and `write`.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "threads.hpp"

namespace clearprop {

enum class Kind { dense, activation, dropout, alpha_dropout, batch_norm, layer_norm, add, take, join };

struct Operation {
  Kind kind = Kind::dense;
  int input = 0;           // value it reads
  int other = -1;          // add: the second value
  std::vector<int> parts;  // join: the values side by side
  Index first_column = 0;  // take: which columns of its input it gives
  int output = 0;
  Index n_in = 0, n_out = 0;
  Index W = -1, b = -1, alpha = -1, gamma = -1, beta = -1;  // places in theta, -1 for none
  Index mean = -1, variance = -1;                           // places in the buffers
  Activation activation;
  std::vector<Activation> choices;  // what `activation` points to
  std::vector<std::int32_t> choice_of;
  double rate = 0.0, epsilon = 0.0, momentum = 0.0;
  std::uint64_t place = 0;  // which layer its random numbers belong to
  // Per parameter: factor on the rate (0: frozen) and on penalty and decay.
  double scale_W = 1, scale_b = 1, scale_other = 1, decay_W = 1, decay_b = 0, decay_other = 0;
};

struct Program {
  Index n_in = 0, n_out = 0, n_theta = 0, n_buffers = 0;
  std::vector<Index> sizes;  // columns of each value
  std::vector<Operation> operations;
  Cost cost;
  std::vector<double> quantiles;  // what `cost` points to
};

// Points the parts of a program to what they own; where it is copied or moved they would point elsewhere.
inline void link(Program& program) {
  for (Operation& op : program.operations) {
    op.activation.choices = op.choices.data();
    op.activation.n_choices = static_cast<Index>(op.choices.size());
    op.activation.choice_of = op.choice_of.data();
  }
  program.cost.quantiles = program.quantiles.empty() ? nullptr : program.quantiles.data();
}

enum class OptimizerKind { sgd, momentum, nesterov, rmsprop, adam };

struct Optimizer {
  OptimizerKind kind = OptimizerKind::sgd;
  bool inside = true;  // momentum and nesterov: eta inside the velocity (Nielsen) or outside (PyTorch)
  double momentum = 0.0, dampening = 0.0, rho = 0.0, beta1 = 0.0, beta2 = 0.0, epsilon = 0.0;
  double weight_decay = 0.0;
  bool centered = false, amsgrad = false, epsilon_inside = false, before_correction = false;
  double l1 = 0.0, l2 = 0.0;
  // 0: none, 1: the number of training examples, 2: of those in the batch, or their weight where the mean of a
  // batch is over its weights
  int penalty_divisor = 0;
  double examples = 1.0;
  double clip_norm = 0.0, clip_value = 0.0, max_norm = 0.0;  // 0: none
};

double seconds_now();

// Rows that lie in memory: dense of the network's own type, or sparse (CSR).
template <class T>
struct Data {
  const T* X = nullptr;
  Index x_row = 0;
  const T* values = nullptr;  // CSR
  const std::int32_t* columns = nullptr;
  const std::int64_t* starts = nullptr;
  const T* y = nullptr;
  Index y_row = 0;
  const T* weights = nullptr;
};

template <class T>
struct Steps {
  Data<T> data;
  const std::int64_t* order = nullptr;     // rows of the data, in the order in which they are seen
  const std::int64_t* examples = nullptr;  // which examples those are, for the random numbers; null: the rows
  Index n_order = 0, batch_size = 1;
  const double* etas = nullptr;  // one per step, or one for all
  Index n_etas = 1;
  std::uint64_t seed = 0, first_step = 0;  // of the random numbers
  Index optimizer_step = 0;                // steps that this optimiser has done
  Index max_steps = 0;
  double max_seconds = 0.0;
  Rule rule = Rule::none;
  double middle = 0.5;
  T* outputs = nullptr;            // (n_order, n_out), or null
  double* costs = nullptr;         // per step: sum of the (weighted) costs of its examples
  double* penalties = nullptr;     // per step: the penalty before its update, or null
  bool mean_over_weights = false;  // weights are scaled to mean 1 over each batch
  std::int64_t* correct = nullptr;
  // Gets the whole gradient, flat, penalty included, before clipping; what it changes there counts.
  const std::function<void(T*)>* look_at_gradient = nullptr;
};

// The total weight of a batch.
template <class T>
double weight_of(const Data<T>& data, const std::int64_t* which, Index rows) {
  double total = 0.0;
  for (Index x = 0; x < rows; ++x) total += static_cast<double>(data.weights[which[x]]);
  return total;
}

// What a batch counts for where the penalty is divided by it: its weight, or how many examples it has.
template <class T>
double size_of(const Steps<T>& s, const std::int64_t* which, Index rows) {
  const bool weighs = s.mean_over_weights && s.data.weights != nullptr;
  return weighs ? weight_of(s.data, which, rows) : static_cast<double>(rows);
}

struct Done {
  Index steps = 0;     // steps whose update was made
  bool finite = true;  // false: the cost of the step after them was NaN or infinite; it was not updated
};

// What a pass left behind, for looking at it: every matrix without its padding.
template <class T>
struct Seen {
  std::vector<T> z, a, mask, x_hat, mean, variance, error, delta, handed_back, alpha_rows;
};

template <class T>
class Machine {
 public:
  Machine(Program program, const InstructionSet& set, int threads);
  ~Machine();

  const Program& program() const;
  const char* isa() const;
  int threads() const;

  void read_theta(const T* theta);
  void write_theta(T* theta) const;
  void read_buffers(const T* buffers);
  void write_buffers(T* buffers) const;
  bool is_finite() const;                          // theta and the buffers
  void set_optimizer(const Optimizer& optimizer);  // slots start at zero
  int slot_count() const;
  void read_slot(int slot, const T* flat);
  void write_slot(int slot, T* flat) const;

  Done train(const Steps<T>& steps);
  // Outputs in inference mode: a (rows, n_out), and z if not null.
  void output(const T* X, Index x_row, Index rows, T* z, T* a);
  // One pass with everything kept. training: with dropout and the statistics of the batch.
  void look(const Data<T>& data, Index rows, bool training, std::uint64_t seed, std::uint64_t step,
            const std::int64_t* examples, std::vector<Seen<T>>* seen, T* gradient, T* new_buffers, T* z, T* a,
            bool records);

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

extern template class Machine<float>;
extern template class Machine<double>;

}  // namespace clearprop
