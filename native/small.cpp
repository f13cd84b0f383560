#include "small.hpp"

#include <algorithm>
#include <cmath>

#include "pass.hpp"

namespace clearprop {

namespace {

// Where lanes of examples were measured to beat panels of neurons: by up to 5 times from 16 examples on. With one
// to four examples they take up to a third longer at these limits, and beyond them more.
constexpr Index kNarrow = 16, kFewInputs = 32, kFewWeights = 2000;
// Bytes of activations and errors that a stretch of the batch may take.
constexpr Index kStretchBytes = Index{1} << 17;
// Weights of a layer from which on they have whole vectors of their own.
constexpr Index kApart = 48;
// How many operations of turning units into rows are as much work as adding up the lanes of one sum.
constexpr Index kTurns = 12;
// While steps are shorter than this, the clock is looked at once in so much time.
constexpr double kClockSeconds = 2e-5;

bool elementwise(const Activation& f) {
  return f.function != Function::softmax && f.function != Function::prelu &&
         f.function != Function::per_neuron;
}

// Whether weights lie along the inputs of a neuron, as in theta: along the longer side.
bool along_inputs(const Operation& op) { return op.n_in >= op.n_out; }

}  // namespace

template <class T>
bool Small<T>::takes(const Program& program) {
  Index weights = 0;
  for (std::size_t i = 0; i < program.operations.size(); ++i) {
    const Operation& op = program.operations[i];
    if (op.kind != Kind::dense || op.input != static_cast<int>(i)) return false;
    if (op.activation.function == Function::prelu) return false;
    if (op.activation.function == Function::per_neuron &&
        !std::all_of(op.choices.begin(), op.choices.end(), elementwise)) {
      return false;
    }
    if (std::min(op.n_in, op.n_out) > kNarrow || std::max(op.n_in, op.n_out) > kFewWeights) return false;
    weights += op.n_in * op.n_out;
  }
  return weights <= kFewWeights && program.n_in <= kFewInputs && program.n_buffers == 0;
}

template <class T>
Small<T>::Small(const Program& program, const Kernels<T>& kernels) : program_(program), k_(kernels) {
  lay_out();
}

// -- memory ------------------------------------------------------------------------------------------

template <class T>
void Small<T>::lay_out() {
  Index numbers = program_.n_in + program_.n_out;  // for each example
  for (const Operation& op : program_.operations) {
    layers_.emplace_back();
    Layer& layer = layers_.back();
    layer.op = &op;
    const bool last = &op == &program_.operations.back();
    layer.in_place = last ? op.activation.function == Function::identity : slope_from_output(op.activation);
    numbers += op.n_out * (layer.in_place ? 2 : 3);
  }
  // Regions: all weights that are treated alike, then the biases.
  for (const Layer& layer : layers_) take_region(layer.op->scale_W, layer.op->decay_W);
  for (const Layer& layer : layers_) take_region(layer.op->scale_b, layer.op->decay_b);
  const Index lanes = k_.lanes;
  stretch_ = kStretchBytes / (numbers * static_cast<Index>(sizeof(T)));
  stretch_ = std::clamp<Index>(stretch_, 32, 512) / lanes * lanes;
  parameters_.resize(n_packed_);
  gradient_.resize(n_packed_);
  sums_.resize(n_packed_ * lanes);
  x_.resize(program_.n_in * stretch_);
  x_error_.resize(program_.n_in * stretch_);
  y_.resize(program_.n_out * stretch_);
  weights_.resize(stretch_);
  room_.resize(stretch_ * lanes);
  for (Layer& layer : layers_) {
    const Operation& op = *layer.op;
    layer.z.resize(op.n_out * stretch_);
    layer.a.resize(op.n_out * stretch_);
    layer.error.resize(op.n_out * stretch_);
    const T* own = parameters_.data();
    const bool along = along_inputs(op);
    layer.kernel = {op.n_in,
                    op.n_out,
                    &op.activation,
                    own + layer.W,
                    along ? op.n_in : 1,
                    along ? 1 : op.n_out,
                    op.b >= 0 ? own + layer.b : nullptr};
  }
}

// The parameters with these factors, unless they have their place.
template <class T>
void Small<T>::take_region(double scale, double decay) {
  for (const Region& region : regions_) {
    if (region.scale == scale && region.decay == decay) return;
  }
  const Index begin = n_packed_;
  const auto take_weights = [&](bool apart) {
    for (Layer& layer : layers_) {
      const Operation& op = *layer.op;
      const Index count = op.n_in * op.n_out;
      if (op.scale_W != scale || op.decay_W != decay || (count >= kApart) != apart) continue;
      layer.apart = apart;
      layer.W = std::exchange(n_packed_, n_packed_ + (apart ? padded(count) : count));
    }
  };
  take_weights(true);
  const Index together = n_packed_;
  take_weights(false);
  for (Layer& layer : layers_) {
    const Operation& op = *layer.op;
    if (op.b < 0 || op.scale_b != scale || op.decay_b != decay) continue;
    layer.b = std::exchange(n_packed_, n_packed_ + op.n_out);
  }
  n_packed_ = together + padded(n_packed_ - together);
  if (n_packed_ > begin) regions_.push_back({scale, decay, begin, together, n_packed_});
}

template <class T>
void Small<T>::set_optimizer(const Optimizer& optimizer) {
  optimizer_ = optimizer;
  n_slots_ = slots_of(optimizer);
  for (int s = 0; s < 3; ++s) slots_[s].resize(s < n_slots_ ? n_packed_ : 0);
}

// -- one pass ----------------------------------------------------------------------------------------

template <class T>
void Small<T>::gather(const Data<T>& data, const std::int64_t* which, Index rows, Index ahead, Index width) {
  if (data.X != nullptr) {
    k_.lanes_gather({data.X, data.x_row, program_.n_in, which, rows, ahead}, x_.data(), width);
  } else {
    gather_sparse(data, which, rows, width);
  }
  if (data.y != nullptr) {
    k_.lanes_gather({data.y, data.y_row, program_.n_out, which, rows, ahead}, y_.data(), width);
  }
  if (data.weights == nullptr) return;
  k_.lanes_gather({data.weights, 1, 1, which, rows, 0}, weights_.data(), width);
  if (weight_factor_ == 1.0) return;
  for (Index x = 0; x < rows; ++x) weights_.data()[x] *= static_cast<T>(weight_factor_);
}

template <class T>
void Small<T>::gather_sparse(const Data<T>& data, const std::int64_t* which, Index rows, Index width) {
  std::fill(x_.data(), x_.data() + program_.n_in * width, T(0));
  for (Index i = 0; i < width; ++i) {
    const std::int64_t row = which[std::min(i, rows - 1)];
    for (std::int64_t at = data.starts[row]; at < data.starts[row + 1]; ++at) {
      x_.data()[data.columns[at] * width + i] += data.values[at];
    }
  }
}

template <class T>
const T* Small<T>::z_of(const Layer& layer, bool keep_z) const {
  return layer.in_place && !keep_z ? layer.a.data() : layer.z.data();
}

template <class T>
void Small<T>::forward(Index width, bool keep_z) {
  const T* a = x_.data();
  for (Layer& layer : layers_) {
    k_.lanes_forward(layer.kernel, a, const_cast<T*>(z_of(layer, keep_z)), layer.a.data(), width);
    a = layer.a.data();
  }
}

template <class T>
LanesBatch<T> Small<T>::outcome(Index rows, Index width, bool keep_z, bool weighted) {
  Layer& last = layers_.back();
  return {z_of(last, keep_z), last.a.data(), y_.data(),      weighted ? weights_.data() : nullptr,
          last.error.data(),  rows,          program_.n_out, width};
}

// From the error of the outputs to every gradient.
template <class T>
void Small<T>::backward(Index width, bool keep_z, Index all_rows, std::vector<Seen<T>>* seen, Index at,
                        Index rows) {
  bool sloped = program_.cost.fused;  // whether error is dC_dz already
  for (std::size_t i = layers_.size(); i-- > 0;) {
    Layer& layer = layers_[i];
    const Operation& op = *layer.op;
    T* delta = layer.error.data();
    if (seen != nullptr) note((*seen)[i].error, delta, at, rows, op.n_out);
    if (!sloped) k_.lanes_slope(op.activation, z_of(layer, keep_z), layer.a.data(), delta, op.n_out, width);
    if (seen != nullptr) note((*seen)[i].delta, delta, at, rows, op.n_out);
    Layer* below = i > 0 ? &layers_[i - 1] : nullptr;
    sloped = below != nullptr && seen == nullptr && below->op->activation.function == Function::relu;
    if (below != nullptr || seen != nullptr) {
      T* into = below != nullptr ? below->error.data() : x_error_.data();
      k_.lanes_back(layer.kernel, delta, sloped ? below->a.data() : nullptr, into, width);
      if (seen != nullptr) note((*seen)[i].handed_back, into, at, rows, op.n_in);
    }
    const T* a_prev = below != nullptr ? below->a.data() : x_.data();
    gradient(layer, a_prev, width, rows, all_rows, at == 0);
  }
}

// The gradient of one layer over one stretch of the batch: sums, which are added up when all stretches are done,
// or, where the batch is one short stretch, the gradient itself.
template <class T>
void Small<T>::gradient(Layer& layer, const T* a_prev, Index width, Index rows, Index all_rows, bool first) {
  const Operation& op = *layer.op;
  const T* delta = layer.error.data();
  const bool along = along_inputs(op), whole = rows == all_rows;
  LanesGradient<T> g{along ? delta : a_prev,
                     along ? a_prev : delta,
                     along ? op.n_out : op.n_in,
                     along ? op.n_in : op.n_out,
                     rows,
                     width,
                     gradient_.data() + layer.W,
                     first,
                     1.0 / static_cast<double>(all_rows),
                     room_.data()};
  layer.summed = !(whole && layer.apart && rows * padded(g.n_fast) <= kTurns * g.n_slow * g.n_fast);
  if (!layer.summed) {
    k_.lanes_by_rows(g);
  } else if (all_rows > 1) {
    g.into = sums_.data() + layer.W * k_.lanes;
    k_.lanes_sums(g);
  } else {
    for (Index i = 0; i < g.n_slow * g.n_fast; ++i) {
      g.into[i] = g.slow[i / g.n_fast * width] * g.fast[i % g.n_fast * width];
    }
  }
  if (op.b < 0) return;
  if (all_rows > 1)
    return k_.lanes_bias_sums(delta, op.n_out, width, sums_.data() + layer.b * k_.lanes, first);
  for (Index j = 0; j < op.n_out; ++j) gradient_.data()[layer.b + j] = delta[j * width];
}

// Adds up the lanes of what was summed.
template <class T>
void Small<T>::add_up(Index rows) {
  const double scale = 1.0 / static_cast<double>(rows);
  const auto total = [&](Index begin, Index count) {
    k_.lanes_total(sums_.data() + begin * k_.lanes, count, scale, gradient_.data() + begin);
  };
  for (const Layer& layer : layers_) {
    if (layer.apart && layer.summed) total(layer.W, padded(layer.op->n_in * layer.op->n_out));
  }
  for (const Region& r : regions_) total(r.together, r.end - r.together);
}

// The whole batch, stretch by stretch: its cost, and its gradient. With `seen` everything on the way is kept.
template <class T>
void Small<T>::pass(Batch& batch, std::vector<Seen<T>>* seen, T* z, T* a) {
  const bool keep_z = seen != nullptr, weighted = batch.data->weights != nullptr;
  for (Index at = 0; at < batch.rows; at += stretch_) {
    const Index rows = std::min(stretch_, batch.rows - at), width = padded(rows);
    const Index ahead = std::min(batch.rows + batch.ahead - at - rows, rows);
    gather(*batch.data, batch.which + at, rows, ahead, width);
    forward(width, keep_z);
    const LanesBatch<T> out = outcome(rows, width, keep_z, weighted);
    if (z != nullptr) k_.lanes_rows(out.z, width, rows, out.n, z + at * out.n);
    if (a != nullptr) k_.lanes_rows(out.a, width, rows, out.n, a + at * out.n);
    for (std::size_t i = 0; seen != nullptr && i < layers_.size(); ++i) {
      note((*seen)[i].z, layers_[i].z.data(), at, rows, layers_[i].op->n_out);
      note((*seen)[i].a, layers_[i].a.data(), at, rows, layers_[i].op->n_out);
    }
    batch.cost += k_.lanes_cost(program_.cost, out);
    batch.correct += k_.lanes_correct(batch.rule, batch.middle, out);
    backward(width, keep_z, batch.rows, seen, at, rows);
  }
  if (batch.rows > 1) add_up(batch.rows);
}

template <class T>
void Small<T>::note(std::vector<T>& to, const T* lanes, Index at, Index rows, Index n) const {
  to.resize(static_cast<std::size_t>((at + rows) * n));
  k_.lanes_rows(lanes, padded(rows), rows, n, to.data() + at * n);
}

// -- the update --------------------------------------------------------------------------------------

// Whether the gradient is wanted as a whole before the update.
template <class T>
bool Small<T>::shapes_gradient() const {
  return optimizer_.clip_norm > 0.0 || optimizer_.clip_value > 0.0 || look_at_gradient_ != nullptr;
}

template <class T>
void Small<T>::update(double eta, Index step, double size) {
  const bool shapes = shapes_gradient();
  if (shapes) shape_gradient(eta, step, size);
  T* own[3];
  for (int s = 0; s < 3; ++s) own[s] = slots_[s].data();
  for (const Region& r : regions_) {
    const StepNumbers numbers = shapes ? numbers_of(optimizer_, eta, step, r.scale, r.decay)
                                       : penalised_numbers(optimizer_, eta, step, r.scale, r.decay, size);
    k_.update(numbers, parameters_.data(), own, gradient_.data(), r.begin, r.end);
  }
  if (optimizer_.max_norm > 0.0) limit_norms();
}

// The penalty of the parameters as they are.
template <class T>
double Small<T>::penalty(double size) const {
  double total = 0.0;
  for (const Region& r : regions_) {
    const StepNumbers numbers = penalised_numbers(optimizer_, 0.0, 1, r.scale, r.decay, size);
    total += penalty_of(k_, numbers, parameters_.data() + r.begin, r.end - r.begin);
  }
  return total;
}

// Penalty, who looks at the gradient, clipping.
template <class T>
void Small<T>::shape_gradient(double eta, Index step, double size) {
  const Optimizer& o = optimizer_;
  T* g = gradient_.data();
  for (const Region& r : regions_) {
    if (o.l1 == 0.0 && o.l2 == 0.0) break;
    k_.add_penalty(penalised_numbers(o, eta, step, r.scale, r.decay, size), parameters_.data(), g, r.begin,
                   r.end);
  }
  if (look_at_gradient_ != nullptr) {
    flat_gradient_.resize(static_cast<std::size_t>(program_.n_theta));
    unpack(g, flat_gradient_.data());
    (*look_at_gradient_)(flat_gradient_.data());
    pack(flat_gradient_.data(), g);
  }
  const double norm = std::sqrt(k_.square_sum(g, n_packed_));
  if (o.clip_norm > 0.0 && std::isfinite(norm) && norm > o.clip_norm)
    k_.scale(g, n_packed_, o.clip_norm / norm);
  if (o.clip_value > 0.0) k_.clip(g, n_packed_, o.clip_value);
}

// -- many steps --------------------------------------------------------------------------------------

template <class T>
Done Small<T>::train(const Steps<T>& s) {
  look_at_gradient_ = s.look_at_gradient;
  const double begin = seconds_now(), end = begin + s.max_seconds;
  Index next_look = 1;  // the number of steps after which the time is asked for
  Done done;
  for (Index at = 0; at < s.n_order && done.steps < s.max_steps; at += s.batch_size) {
    Batch batch;
    batch.data = &s.data;
    batch.which = s.order + at;
    batch.rows = std::min(s.batch_size, s.n_order - at);
    batch.ahead = std::min(s.batch_size, s.n_order - at - batch.rows);
    batch.rule = s.rule;
    batch.middle = s.middle;
    const double size = size_of(s, batch.which, batch.rows);
    weight_factor_ = static_cast<double>(batch.rows) / size;
    pass(batch, nullptr, nullptr, s.outputs == nullptr ? nullptr : s.outputs + at * program_.n_out);
    s.costs[done.steps] = batch.cost;
    if (s.penalties != nullptr) s.penalties[done.steps] = penalty(size);
    s.correct[done.steps] = batch.correct;
    if (!std::isfinite(batch.cost)) {
      done.finite = false;
      return done;
    }
    update(s.etas[std::min(done.steps, s.n_etas - 1)], s.optimizer_step + done.steps + 1, size);
    if (++done.steps < next_look) continue;
    const double now = seconds_now();
    if (now >= end) break;
    const double each = (now - begin) / static_cast<double>(done.steps);
    next_look = done.steps + std::max<Index>(1, static_cast<Index>(std::min(kClockSeconds / each, 64.0)));
  }
  return done;
}

// -- looking -----------------------------------------------------------------------------------------

template <class T>
void Small<T>::output(const T* X, Index x_row, Index rows, T* z, T* a) {
  Data<T> data;
  data.X = X;
  data.x_row = x_row;
  std::vector<std::int64_t> which(static_cast<std::size_t>(std::min(rows, stretch_)));
  for (Index at = 0; at < rows; at += stretch_) {
    const Index some = std::min(stretch_, rows - at), width = padded(some), n = program_.n_out;
    for (Index x = 0; x < some; ++x) which[static_cast<std::size_t>(x)] = at + x;
    gather(data, which.data(), some, 0, width);
    forward(width, false);
    if (z != nullptr) k_.lanes_rows(z_of(layers_.back(), false), width, some, n, z + at * n);
    if (a != nullptr) k_.lanes_rows(layers_.back().a.data(), width, some, n, a + at * n);
  }
}

template <class T>
void Small<T>::look(const Data<T>& data, Index rows, std::vector<Seen<T>>* seen, T* gradient, T* z, T* a,
                    bool records) {
  if (records) seen->assign(layers_.size(), Seen<T>{});
  std::vector<std::int64_t> which(static_cast<std::size_t>(rows));
  for (Index x = 0; x < rows; ++x) which[static_cast<std::size_t>(x)] = x;
  Batch batch;
  weight_factor_ = 1.0;
  batch.data = &data;
  batch.which = which.data();
  batch.rows = rows;
  pass(batch, records ? seen : nullptr, z, a);
  unpack(gradient_.data(), gradient);
}

template class Small<float>;
template class Small<double>;

}  // namespace clearprop
