// What a step does with a pass: its costs, and the update of every parameter from its gradient.
#pragma once

#include <cmath>

#include "pass.hpp"
#include "step_numbers.hpp"

namespace clearprop {

template <class T>
struct Updates : Pass<T> {
  using Pass<T>::Pass;
  using Pass<T>::k;
  using Pass<T>::program;
  using Pass<T>::places;
  using Pass<T>::row;

  void set_optimizer(const Optimizer& o) {
    this->optimizer = o;
    this->n_slots = slots_of(o);
    for (int s = 0; s < 3; ++s) this->slots[s].resize(s < this->n_slots ? this->n_packed : 0);
  }

  // -- one step -------------------------------------------------------------------------------------

  // Costs of the batch, and the error of the last value; returns the (weighted) sum of the costs.
  double measure(Index rows, bool weighted) {
    const std::size_t last = program.sizes.size() - 1, end = places.size() - 1;
    const Operation& op = program.operations[end];
    const bool has_z = op.kind == Kind::dense || op.kind == Kind::activation;
    this->error[last] = this->errors[last].data();
    const T* w = weighted ? this->weights.data() : nullptr;
    k.cost_and_error(program.cost, has_z ? this->z_of(end) : nullptr, this->a[last], this->y.data(), w,
                     this->error[last], this->costs.data(), rows, program.n_out, row[last]);
    double total = 0.0;
    for (Index x = 0; x < rows; ++x) {
      total += w == nullptr ? this->costs[x] : this->costs[x] * static_cast<double>(w[x]);
    }
    return total;
  }

  const std::function<void(T*)>* look_at_gradient = nullptr;
  std::vector<T> flat_gradient;

  // Whether the gradient is wanted as a whole before the update.
  bool shapes_gradient() const {
    const Optimizer& o = this->optimizer;
    return o.clip_norm > 0.0 || o.clip_value > 0.0 || look_at_gradient != nullptr;
  }

  StepNumbers numbers(double eta, Index step, double scale, double decay, Index rows) const {
    return penalised_numbers(this->optimizer, eta, step, scale, decay,
                             batch_size > 0.0 ? batch_size : static_cast<double>(rows));
  }

  // What the batch at hand counts for in the penalty's divisor; 0: its number of examples.
  double batch_size = 0.0;

  // The penalty of the parameters as they are.
  double penalty(Index rows) const {
    const T* w = this->parameters.data();
    double total = 0.0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      each_penalised(i, 0.0, 1, rows, [&](const StepNumbers& s, Index begin, Index end) {
        total += penalty_of(k, s, w + begin, end - begin);
      });
    }
    return total;
  }

  // The parameters that are no panels: offset, padded count, of an operation.
  template <class Work>
  void each_vector(const Operation& op, const Place<T>& place, const Work& work) const {
    const Index count = row[op.output];
    if (op.alpha >= 0) work(place.alpha, count);
    if (op.gamma >= 0) work(place.gamma, count);
    if (op.beta >= 0) work(place.beta, count);
  }

  void step_backward(Index rows, double eta, Index step, Ahead* ahead) {
    const bool shapes = shapes_gradient();
    if (this->gradient.size() < this->n_packed && needs_gradient(shapes))
      this->gradient.resize(this->n_packed);
    const auto use = [&](std::size_t i, const T* delta) {
      const Operation& op = program.operations[i];
      const Place<T>& place = places[i];
      T* g = this->gradient.data();
      if (op.kind == Kind::dense) {
        const StepNumbers w = numbers(eta, step, op.scale_W, op.decay_W, rows);
        const StepNumbers b = numbers(eta, step, op.scale_b, op.decay_b, rows);
        const bool at_once = !shapes && k.uses_at_once(w);
        if (!(at_once && w.frozen && b.frozen)) {
          this->dense_gradient(op, place, delta, rows, &w, &b, at_once ? nullptr : g + place.weights, ahead);
        }
        if (!shapes && !at_once) update_dense(op, place, w, b);
      }
      if (op.alpha >= 0) this->alpha_gradient(op, place, rows, g + place.alpha);
      if (!shapes) update_vectors(op, place, eta, step, rows);
    };
    this->backward(rows, true, use, nullptr);
    if (shapes) update_shaped(eta, step, rows);
    if (this->optimizer.max_norm > 0.0) {
      for (std::size_t i = 0; i < places.size(); ++i) {
        const Operation& op = program.operations[i];
        if (op.kind != Kind::dense || op.scale_W == 0.0) continue;
        k.limit_norms(this->parameters.data() + places[i].weights, op.n_out, op.n_in,
                      this->optimizer.max_norm);
      }
    }
  }

  bool needs_gradient(bool shapes) const {
    if (shapes) return true;
    const StepNumbers s = numbers_of(this->optimizer, 1.0, 1, 1.0, 1.0);
    if (!k.uses_at_once(s)) return true;
    for (const Operation& op : program.operations) {
      if (op.alpha >= 0 || op.gamma >= 0) return true;
    }
    return false;
  }

  void update_dense(const Operation& op, const Place<T>& place, const StepNumbers& w, const StepNumbers& b) {
    T* own[3];
    for (int s = 0; s < 3; ++s) own[s] = s < this->n_slots ? this->slots[s].data() + place.weights : nullptr;
    StepNumbers biases = b;
    if (op.b < 0) biases.frozen = true;
    k.update_panels(w, biases, this->parameters.data() + place.weights, own,
                    this->gradient.data() + place.weights, op.n_out, op.n_in, 0, k.panel_count(op.n_out));
  }

  void update_vectors(const Operation& op, const Place<T>& place, double eta, Index step, Index rows) {
    T* own[3];
    for (int s = 0; s < 3; ++s) own[s] = this->slots[s].data();
    each_vector(op, place, [&](Index at, Index count) {
      k.update(numbers(eta, step, op.scale_other, op.decay_other, rows), this->parameters.data(), own,
               this->gradient.data(), at, at + count);
    });
  }

  // The whole gradient at once: penalty, clipping, then the update.
  void update_shaped(double eta, Index step, Index rows) {
    T* g = this->gradient.data();
    const T* w = this->parameters.data();
    const Optimizer& o = this->optimizer;
    if (o.l1 > 0.0 || o.l2 > 0.0) {
      for (std::size_t i = 0; i < places.size(); ++i) penalise(i, eta, step, rows, w, g);
    }
    if (look_at_gradient != nullptr) {
      flat_gradient.resize(static_cast<std::size_t>(program.n_theta));
      this->unpack_all(g, flat_gradient.data());
      (*look_at_gradient)(flat_gradient.data());
      this->pack_all(flat_gradient.data(), g);
    }
    const double square = k.square_sum(g, this->n_packed);
    const double norm = std::sqrt(square);
    if (o.clip_norm > 0.0 && std::isfinite(norm) && norm > o.clip_norm) {
      k.scale(g, this->n_packed, o.clip_norm / norm);
    }
    if (o.clip_value > 0.0) k.clip(g, this->n_packed, o.clip_value);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      if (op.kind == Kind::dense) {
        update_dense(op, places[i], unpenalised(eta, step, op.scale_W, op.decay_W),
                     unpenalised(eta, step, op.scale_b, op.decay_b));
      }
      T* own[3];
      for (int s = 0; s < 3; ++s) own[s] = this->slots[s].data();
      each_vector(op, places[i], [&](Index at, Index count) {
        k.update(unpenalised(eta, step, op.scale_other, op.decay_other), this->parameters.data(), own, g, at,
                 at + count);
      });
    }
  }

  StepNumbers unpenalised(double eta, Index step, double scale, double decay) const {
    return numbers_of(this->optimizer, eta, step, scale, decay);
  }

  void penalise(std::size_t i, double eta, Index step, Index rows, const T* w, T* g) {
    each_penalised(i, eta, step, rows,
                   [&](const StepNumbers& s, Index begin, Index end) { k.add_penalty(s, w, g, begin, end); });
  }

  // Calls work(numbers, begin, end) for the parameters of an operation that share a factor on the penalty.
  template <class Work>
  void each_penalised(std::size_t i, double eta, Index step, Index rows, const Work& work) const {
    const Operation& op = program.operations[i];
    if (op.kind == Kind::dense) {
      const StepNumbers of_W = numbers(eta, step, op.scale_W, op.decay_W, rows);
      const StepNumbers of_b = numbers(eta, step, op.scale_b, op.decay_b, rows);
      Index begin = places[i].weights;
      for (Index p = 0; p < k.panel_count(op.n_out); ++p) {
        const Index width = std::min<Index>(k.panel, k.panel_numbers(op.n_out - p * k.panel, 1));
        work(of_W, begin, begin + op.n_in * width);
        work(of_b, begin + op.n_in * width, begin + (op.n_in + 1) * width);
        begin += (op.n_in + 1) * width;
      }
    }
    each_vector(op, places[i], [&](Index at, Index count) {
      work(numbers(eta, step, op.scale_other, op.decay_other, rows), at, at + count);
    });
  }

  void commit_buffers() {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      if (op.kind != Kind::batch_norm) continue;
      T* b = this->buffers.data();
      k.batch_norm_running(b + places[i].mean, b + places[i].variance, places[i].row_mean.data(),
                           places[i].row_variance.data(), op.momentum, 0, row[op.output]);
    }
  }
};

}  // namespace clearprop
