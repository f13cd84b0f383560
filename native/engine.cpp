#include "engine.hpp"

#include <chrono>
#include <cmath>
#include <limits>

#include "small.hpp"
#include "updates.hpp"

namespace clearprop {

namespace {

constexpr Index kOutputRows = 1024;          // rows that inference works on at a time
constexpr Index kLookWork = Index{1} << 21;  // rows times parameters between two looks at the clock
constexpr Index kCopyCost = 32;              // of a number that comes from memory, in operations

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
struct Machine<T>::Body : Updates<T> {
  using Updates<T>::k;
  using Updates<T>::program;
  using Updates<T>::places;
  using Updates<T>::row;
  using Updates<T>::look_at_gradient;
  using Updates<T>::measure;
  using Updates<T>::commit_buffers;
  using Updates<T>::step_backward;
  using Updates<T>::shapes_gradient;

  // Does all of it where the network is small; the panels then hold nothing.
  std::unique_ptr<Small<T>> small;

  Body(Program p, const InstructionSet& s, int threads) : Updates<T>(p, s, Small<T>::takes(p) ? 1 : threads) {
    if (Small<T>::takes(program)) small = std::make_unique<Small<T>>(program, k);
  }

  // -- reading examples -----------------------------------------------------------------------------

  void gather(const Data<T>& data, const std::int64_t* which, Index rows) {
    const Index r = row[0], n = program.n_in;
    T* x = this->values[0].data();
    this->a[0] = x;
    this->a_row[0] = r;
    if (data.X != nullptr && rows == 1 && this->direct_input) {
      this->a[0] = const_cast<T*>(data.X + which[0] * data.x_row);  // only ever read
    } else if (data.X != nullptr) {
      this->in_row_parts(rows, kCopyCost * n, [&](Index row0, Index row1) {
        k.gather(data.X, data.x_row, which + row0, row1 - row0, n, x + row0 * r, r);
      });
    } else {
      gather_sparse(data, which, rows);
    }
    const std::size_t last = program.sizes.size() - 1;
    k.gather(data.y, data.y_row, which, rows, program.n_out, this->y.data(), row[last]);
    if (data.weights != nullptr) k.gather(data.weights, 1, which, rows, 1, this->weights.data(), 1);
  }

  // Scales the weights of the batch at hand to mean 1.
  void even_out(double size, Index rows) {
    const T factor = static_cast<T>(static_cast<double>(rows) / size);
    for (Index x = 0; x < rows; ++x) this->weights.data()[x] *= factor;
  }

  void gather_sparse(const Data<T>& data, const std::int64_t* which, Index rows) {
    for (Index i = 0; i < rows; ++i) {
      T* x = this->values[0].data() + i * row[0];
      std::fill(x, x + program.n_in, T(0));
      for (std::int64_t at = data.starts[which[i]]; at < data.starts[which[i] + 1]; ++at) {
        x[data.columns[at]] += data.values[at];
      }
    }
  }

  // The rows of the batch that begins at a place of the order, to be asked for during this one's gradients.
  Ahead next_rows(const Steps<T>& s, Index at) const {
    Ahead ahead;
    if (at >= s.n_order || s.data.X == nullptr) return ahead;
    ahead.X = reinterpret_cast<const char*>(s.data.X);
    ahead.y = reinterpret_cast<const char*>(s.data.y);
    ahead.x_stride = s.data.x_row * static_cast<Index>(sizeof(T));
    ahead.y_stride = s.data.y_row * static_cast<Index>(sizeof(T));
    ahead.row_bytes = program.n_in * static_cast<Index>(sizeof(T));
    ahead.which = s.order + at;
    ahead.rows = std::min(s.batch_size, s.n_order - at);
    const Index lines = ahead.rows * (ahead.row_bytes / static_cast<Index>(kAlignment) + 1);
    ahead.per_tile = lines / gradient_tiles() + 1;
    return ahead;
  }

  Index gradient_tiles() const {
    Index tiles = 1;
    for (const Operation& op : program.operations) {
      if (op.kind == Kind::dense) tiles += k.tile_count(op.n_in) * k.panel_count(op.n_out);
    }
    return tiles;
  }

  // -- many steps -----------------------------------------------------------------------------------

  // Whether the update of one example can go together with the forward product of the next: single examples,
  // plain gradient descent, and a Dense layer in front.
  bool goes_on_at_once(const Steps<T>& s) const {
    const Operation& first = program.operations.front();
    if (s.batch_size != 1 || s.data.X == nullptr || first.kind != Kind::dense) return false;
    if (shapes_gradient() || this->optimizer.max_norm > 0.0 || !this->reads_input_once) return false;
    return k.descends(this->numbers(1.0, 1, first.scale_W, first.decay_W, 1)) &&
           k.descends(this->numbers(1.0, 1, first.scale_b, first.decay_b, 1));
  }

  Done train(const Steps<T>& s) {
    const Index largest = std::min(s.batch_size, std::max<Index>(s.n_order, 1));
    this->make_room(largest, true, false);
    this->wants_input_error = false;
    this->goes_back = true;
    look_at_gradient = s.look_at_gradient;
    const double end = seconds_now() + s.max_seconds;
    const std::size_t last = program.sizes.size() - 1;
    const bool weighted = s.data.weights != nullptr;
    this->first_z_ready = false;
    const bool in_one_pass = goes_on_at_once(s);
    const Index steps_per_look =
        largest * this->n_packed < kLookWork ? kLookWork / (largest * this->n_packed + 1) : 1;
    Done done;
    for (Index at = 0; at < s.n_order && done.steps < s.max_steps; at += s.batch_size) {
      const Index rows = std::min(s.batch_size, s.n_order - at);
      const std::int64_t* which = s.order + at;
      gather(s.data, which, rows);
      this->batch_size = size_of(s, which, rows);
      if (weighted && s.mean_over_weights) even_out(this->batch_size, rows);
      Ahead ahead = next_rows(s, at + s.batch_size);
      this->forward(rows, true, s.seed, s.first_step + static_cast<std::uint64_t>(done.steps),
                    s.examples != nullptr ? s.examples + at : which);
      const double cost = measure(rows, weighted);
      s.costs[done.steps] = cost;
      if (s.penalties != nullptr) s.penalties[done.steps] = this->penalty(rows);
      s.correct[done.steps] =
          k.count_correct(s.rule, s.middle, this->a[last], this->y.data(), rows, program.n_out, row[last]);
      if (s.outputs != nullptr) {
        for (Index x = 0; x < rows; ++x) {
          std::copy(this->a[last] + x * row[last], this->a[last] + x * row[last] + program.n_out,
                    s.outputs + (at + x) * program.n_out);
        }
      }
      if (!std::isfinite(cost)) {
        done.finite = false;
        return done;
      }
      const double eta = s.etas[std::min(done.steps, s.n_etas - 1)];
      const bool more = done.steps + 1 < s.max_steps && at + 1 < s.n_order;
      this->next_example = nullptr;
      if (more && in_one_pass) {
        const T* next = s.data.X + s.order[at + 1] * s.data.x_row;
        if (!this->zeros[0].known && !this->is_sparse(next)) this->next_example = next;
      }
      step_backward(rows, eta, s.optimizer_step + done.steps + 1, &ahead);
      this->next_example = nullptr;
      if (this->n_buffers > 0) commit_buffers();
      ++done.steps;
      if (done.steps % steps_per_look == 0 && seconds_now() >= end) break;
    }
    return done;
  }

  // -- looking --------------------------------------------------------------------------------------

  void input(const T* X, Index x_row, Index rows) {
    if (this->direct_input) {
      this->a[0] = const_cast<T*>(X);  // only ever read
      this->a_row[0] = x_row;
      return;
    }
    this->a[0] = this->values[0].data();
    this->a_row[0] = row[0];
    for (Index x = 0; x < rows; ++x) {
      std::copy(X + x * x_row, X + x * x_row + program.n_in, this->a[0] + x * row[0]);
    }
  }

  void copy_last(Index first, Index rows, T* z, T* a) const {
    const std::size_t last = program.sizes.size() - 1, end = places.size() - 1;
    const Index n = program.n_out, r = row[last];
    const Kind kind = program.operations[end].kind;
    const bool has_z = z != nullptr && (kind == Kind::dense || kind == Kind::activation);
    const T* from = has_z ? this->z_of(end) : nullptr;
    for (Index x = 0; x < rows; ++x) {
      if (a != nullptr) std::copy(this->a[last] + x * r, this->a[last] + x * r + n, a + (first + x) * n);
      if (has_z) std::copy(from + x * r, from + x * r + n, z + (first + x) * n);
    }
  }

  void output(const T* X, Index x_row, Index rows, T* z, T* a) {
    this->make_room(std::min(rows, kOutputRows), false, false);
    this->goes_back = this->first_z_ready = false;
    for (Index first = 0; first < rows; first += kOutputRows) {
      const Index some = std::min(kOutputRows, rows - first);
      input(X + first * x_row, x_row, some);
      this->forward(some, false, 0, 0, nullptr);
      copy_last(first, some, z, a);
    }
  }

  void look(const Data<T>& data, Index rows, bool training, std::uint64_t seed, std::uint64_t step,
            const std::int64_t* examples, std::vector<Seen<T>>* seen, T* flat, T* new_buffers, T* z, T* a,
            bool records) {
    this->make_room(rows, true, records);
    this->wants_input_error = records;
    this->goes_back = true;
    this->first_z_ready = false;
    std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
    for (Index x = 0; x < rows; ++x) all[static_cast<std::size_t>(x)] = x;
    gather(data, all.data(), rows);
    this->forward(rows, training, seed, step, examples);
    if (records) note_forward(rows, training, seen);
    copy_last(0, rows, z, a);
    measure(rows, data.weights != nullptr);
    if (this->gradient.size() < this->n_packed) this->gradient.resize(this->n_packed);
    const auto use = [&](std::size_t i, const T* delta) {
      const Operation& op = program.operations[i];
      T* g = this->gradient.data();
      if (op.kind == Kind::dense) {
        this->dense_gradient(op, places[i], delta, rows, nullptr, nullptr, g + places[i].weights);
      }
      if (op.alpha >= 0) this->alpha_gradient(op, places[i], rows, g + places[i].alpha);
      if (records && op.alpha >= 0) {
        this->note((*seen)[i].alpha_rows, places[i].alpha_rows.data(), rows, op.output);
      }
    };
    this->backward(rows, training, use, records ? seen : nullptr);
    this->unpack_all(this->gradient.data(), flat);
    if (new_buffers == nullptr) return;
    Numbers<T> before(this->n_buffers);
    std::copy(this->buffers.data(), this->buffers.data() + this->n_buffers, before.data());
    if (training) commit_buffers();
    this->each_buffer(new_buffers, static_cast<const T*>(this->buffers.data()));
    std::copy(before.data(), before.data() + this->n_buffers, this->buffers.data());
  }

  void note_forward(Index rows, bool training, std::vector<Seen<T>>* seen) {
    seen->assign(places.size(), Seen<T>{});
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      Seen<T>& s = (*seen)[i];
      this->note(s.a, this->a[op.output], rows, op.output);
      if (op.kind == Kind::dense || op.kind == Kind::activation)
        this->note(s.z, this->z_of(i), rows, op.output);
      const bool drops = op.kind == Kind::dropout || op.kind == Kind::alpha_dropout;
      if (drops && training && op.rate > 0.0) this->note(s.mask, places[i].mask.data(), rows, op.output);
      if (op.gamma < 0) continue;
      this->note(s.x_hat, places[i].x_hat.data(), rows, op.output);
      const Index count = op.kind == Kind::layer_norm ? rows : op.n_out;
      s.mean.assign(places[i].row_mean.data(), places[i].row_mean.data() + count);
      s.variance.assign(places[i].row_variance.data(), places[i].row_variance.data() + count);
    }
  }
};

template <class T>
Machine<T>::Machine(Program program, const InstructionSet& set, int threads)
    : body_(std::make_unique<Body>(std::move(program), set, threads)) {}
template <class T>
Machine<T>::~Machine() = default;
template <class T>
const Program& Machine<T>::program() const {
  return body_->program;
}
template <class T>
const char* Machine<T>::isa() const {
  return body_->set.name;
}
template <class T>
int Machine<T>::threads() const {
  return body_->pool.count();
}
template <class T>
void Machine<T>::read_theta(const T* theta) {
  if (body_->small) return body_->small->read_theta(theta);
  body_->pack_all(theta, body_->parameters.data());
}
template <class T>
void Machine<T>::write_theta(T* theta) const {
  if (body_->small) return body_->small->write_theta(theta);
  body_->unpack_all(body_->parameters.data(), theta);
}
template <class T>
void Machine<T>::read_buffers(const T* buffers) {
  body_->each_buffer(buffers, body_->buffers.data());
}
template <class T>
void Machine<T>::write_buffers(T* buffers) const {
  body_->each_buffer(buffers, static_cast<const T*>(body_->buffers.data()));
}
template <class T>
bool Machine<T>::is_finite() const {
  const auto finite = [&](const Numbers<T>& x) { return body_->k.all_finite(x.data(), x.size()); };
  const Numbers<T>& packed = body_->small ? body_->small->parameters() : body_->parameters;
  if (finite(packed) && finite(body_->buffers)) return true;
  // Padding is nobody's number: what is not finite may lie there alone.
  Numbers<T> theta(body_->program.n_theta), buffers(body_->program.n_buffers);
  write_theta(theta.data());
  write_buffers(buffers.data());
  return finite(theta) && finite(buffers);
}
template <class T>
void Machine<T>::set_optimizer(const Optimizer& optimizer) {
  body_->set_optimizer(optimizer);
  if (body_->small) body_->small->set_optimizer(optimizer);
}
template <class T>
int Machine<T>::slot_count() const {
  return body_->n_slots;
}
template <class T>
void Machine<T>::read_slot(int slot, const T* flat) {
  if (body_->small) return body_->small->read_slot(slot, flat);
  body_->pack_all(flat, body_->slots[slot].data());
}
template <class T>
void Machine<T>::write_slot(int slot, T* flat) const {
  if (body_->small) return body_->small->write_slot(slot, flat);
  body_->unpack_all(body_->slots[slot].data(), flat);
}
template <class T>
Done Machine<T>::train(const Steps<T>& steps) {
  const FlushToZero flush;
  return body_->small ? body_->small->train(steps) : body_->train(steps);
}
template <class T>
void Machine<T>::output(const T* X, Index x_row, Index rows, T* z, T* a) {
  const FlushToZero flush;
  if (body_->small) return body_->small->output(X, x_row, rows, z, a);
  body_->output(X, x_row, rows, z, a);
}
template <class T>
void Machine<T>::look(const Data<T>& data, Index rows, bool training, std::uint64_t seed, std::uint64_t step,
                      const std::int64_t* examples, std::vector<Seen<T>>* seen, T* gradient, T* new_buffers,
                      T* z, T* a, bool records) {
  const FlushToZero flush;
  if (body_->small) return body_->small->look(data, rows, seen, gradient, z, a, records);
  body_->look(data, rows, training, seed, step, examples, seen, gradient, new_buffers, z, a, records);
}

template class Machine<float>;
template class Machine<double>;

}  // namespace clearprop
