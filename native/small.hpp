// Small networks, run with the examples of a batch in the lanes (lanes.hpp) instead of the neurons.
//
// In panels a layer of three neurons is as much work as one of sixteen, and a step of a few hundred operations
// pays for each call. Here a whole step is done on one thread, a stretch of the batch at a time, and what
// training computes and what `look` shows are the same calls. Which networks come here is a rule of the network
// alone, so it does not depend on the batch who computes a number.
#pragma once

#include <cmath>
#include <vector>

#include "memory.hpp"
#include "step_numbers.hpp"

namespace clearprop {

template <class T>
class Small {
 public:
  // Whether a network is run here: a chain of Dense layers, each with few inputs or few neurons.
  static bool takes(const Program& program);

  // Keeps a reference to the program.
  Small(const Program& program, const Kernels<T>& kernels);

  void read_theta(const T* theta) { pack(theta, parameters_.data()); }
  void write_theta(T* theta) const { unpack(parameters_.data(), theta); }
  const Numbers<T>& parameters() const { return parameters_; }
  void set_optimizer(const Optimizer& optimizer);
  void read_slot(int slot, const T* flat) { pack(flat, slots_[slot].data()); }
  void write_slot(int slot, T* flat) const { unpack(slots_[slot].data(), flat); }

  Done train(const Steps<T>& steps);
  void output(const T* X, Index x_row, Index rows, T* z, T* a);
  void look(const Data<T>& data, Index rows, std::vector<Seen<T>>* seen, T* gradient, T* z, T* a,
            bool records);

 private:
  struct Layer {
    const Operation* op;
    Index W = 0, b = 0;  // places in the packed parameters
    LanesLayer<T> kernel;
    bool in_place = false;  // a lies where z lies, in training
    bool apart = false;     // its weights have whole vectors of their own
    bool summed = false;    // of the last pass: dC_dW is left as sums
    Numbers<T> z, a, error;
  };
  // Parameters side by side that an optimiser treats alike.
  struct Region {
    double scale, decay;
    Index begin, together, end;  // first the weights that lie apart
  };
  // What a pass reads, and what it leaves besides the sums of the gradient.
  struct Batch {
    const Data<T>* data;
    const std::int64_t* which;
    Index rows, ahead = 0;
    Rule rule = Rule::none;
    double middle = 0.0;
    double cost = 0.0;
    Index correct = 0;
  };

  void lay_out();
  void take_region(double scale, double decay);

  // Calls copy(place in theta, place here) for every parameter.
  template <class Copy>
  void each_parameter(const Copy& copy) const {
    for (const Layer& layer : layers_) {
      const Operation& op = *layer.op;
      const Index step_out = layer.kernel.step_out, step_in = layer.kernel.step_in;
      for (Index j = 0; j < op.n_out; ++j) {
        for (Index k = 0; k < op.n_in; ++k)
          copy(op.W + j * op.n_in + k, layer.W + j * step_out + k * step_in);
      }
      for (Index j = 0; op.b >= 0 && j < op.n_out; ++j) copy(op.b + j, layer.b + j);
    }
  }
  void pack(const T* theta, T* packed) const {
    each_parameter([&](Index flat, Index own) { packed[own] = theta[flat]; });
  }
  void unpack(const T* packed, T* theta) const {
    each_parameter([&](Index flat, Index own) { theta[flat] = packed[own]; });
  }

  Index padded(Index rows) const { return (rows + k_.lanes - 1) / k_.lanes * k_.lanes; }
  void gather(const Data<T>& data, const std::int64_t* which, Index rows, Index ahead, Index width);
  void gather_sparse(const Data<T>& data, const std::int64_t* which, Index rows, Index width);
  void forward(Index width, bool keep_z);
  void backward(Index width, bool keep_z, Index all_rows, std::vector<Seen<T>>* seen, Index at, Index rows);
  void gradient(Layer& layer, const T* a_prev, Index width, Index rows, Index all_rows, bool first);
  void add_up(Index rows);
  void pass(Batch& batch, std::vector<Seen<T>>* seen, T* z, T* a);
  const T* z_of(const Layer& layer, bool keep_z) const;
  LanesBatch<T> outcome(Index rows, Index width, bool keep_z, bool weighted);
  void note(std::vector<T>& to, const T* lanes, Index at, Index rows, Index n) const;

  bool shapes_gradient() const;
  double penalty(double size) const;
  void update(double eta, Index step, double size);
  void shape_gradient(double eta, Index step, double size);

  // The weights of each neuron whose norm exceeds the limit are scaled down to it; biases stay.
  void limit_norms() {
    for (const Layer& layer : layers_) {
      if (layer.op->scale_W == 0.0) continue;
      const Index n_in = layer.op->n_in, step = layer.kernel.step_in;
      for (Index j = 0; j < layer.op->n_out; ++j) {
        T* w = parameters_.data() + layer.W + j * layer.kernel.step_out;
        double square = 0.0;
        for (Index k = 0; k < n_in; ++k) square += static_cast<double>(w[k * step]) * w[k * step];
        const double norm = std::sqrt(square);
        if (!(norm > optimizer_.max_norm) || !std::isfinite(norm)) continue;
        const T factor = static_cast<T>(optimizer_.max_norm / norm);
        for (Index k = 0; k < n_in; ++k) w[k * step] *= factor;
      }
    }
  }

  const Program& program_;
  const Kernels<T>& k_;
  std::vector<Layer> layers_;
  std::vector<Region> regions_;
  Index n_packed_ = 0, stretch_ = 0;
  Numbers<T> parameters_, slots_[3], gradient_, sums_;
  Numbers<T> x_, y_, weights_, x_error_, room_;
  int n_slots_ = 0;
  double weight_factor_ = 1.0;  // on the weights of the batch at hand
  Optimizer optimizer_;
  const std::function<void(T*)>* look_at_gradient_ = nullptr;
  std::vector<T> flat_gradient_;
};

extern template class Small<float>;
extern template class Small<double>;

}  // namespace clearprop
