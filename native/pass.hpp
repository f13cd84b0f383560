// One pass through a program, forward and backward, operation by operation.
#pragma once

#include "layout.hpp"

namespace clearprop {

// Hidden activations of fewer rows are not searched for zeros: few rows have sums of their own order in dense
// tiles, and a trace of them must have the numbers of training.
constexpr Index kRowsForZeros = 4;
// A product that is faster only with fewer nonzeros than this is not worth a search in hidden activations.
constexpr double kLeastShare = 0.3;

template <class T>
struct Pass : Layout<T> {
  using Layout<T>::Layout;
  using Layout<T>::program;
  using Layout<T>::k;
  using Layout<T>::pool;
  using Layout<T>::products;
  using Layout<T>::places;
  using Layout<T>::row;
  using Layout<T>::values;
  using Layout<T>::errors;
  using Layout<T>::a;
  using Layout<T>::alpha_count;
  using Layout<T>::error;
  using Layout<T>::a_row;
  using Layout<T>::zeros;
  using Layout<T>::next_zeros;
  using Layout<T>::has_zeros;
  using Layout<T>::made_by;
  using Layout<T>::delta_zeros;
  using Layout<T>::parameters;
  using Layout<T>::slots;
  using Layout<T>::n_slots;
  using Layout<T>::gradient;
  using Layout<T>::buffers;
  using Layout<T>::transposed;
  using Layout<T>::handed;
  using Layout<T>::next_example;
  using Layout<T>::first_z_ready;
  using Layout<T>::goes_back;
  using Layout<T>::wants_input_error;

  // -- forward --------------------------------------------------------------------------------------

  const T* parameter(Index at) const { return parameters.data() + at; }

  // z of an operation with an activation: what it computed, or its input.
  const T* z_of(std::size_t i) const {
    const Operation& op = program.operations[i];
    if (places[i].in_place) return a[op.output];
    return op.kind == Kind::activation ? a[op.input] : places[i].z.data();
  }

  void forward(Index rows, bool training, std::uint64_t seed, std::uint64_t step, const std::int64_t* which) {
    for (Zeros& of_value : zeros) of_value.known = false;
    for (std::size_t v = 1; v < values.size(); ++v) {
      a[v] = values[v].data();
      a_row[v] = row[v];
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      switch (op.kind) {
        case Kind::dense: dense_forward(op, places[i], rows); break;
        case Kind::activation:
          k.activation_forward(op.activation, parameter(places[i].alpha), a[op.input], a[op.output], rows,
                               op.n_out, row[op.output]);
          break;
        case Kind::dropout:
        case Kind::alpha_dropout: dropout_forward(op, places[i], rows, training, seed, step, which); break;
        case Kind::batch_norm: batch_norm_forward(op, places[i], rows, training); break;
        case Kind::layer_norm:
          k.layer_norm_forward(a[op.input], op.epsilon, parameter(places[i].gamma), parameter(places[i].beta),
                               places[i].x_hat.data(), a[op.output], places[i].row_mean.data(),
                               places[i].row_variance.data(), rows, op.n_out, row[op.output]);
          break;
        case Kind::add:
          std::copy(a[op.other], a[op.other] + rows * row[op.output], a[op.output]);
          k.add(a[op.input], a[op.output], rows * row[op.output]);
          break;
        case Kind::take: move_columns(op.input, op.first_column, op.output, 0, op.n_out, rows, a, a); break;
        case Kind::join: {
          Index column = 0;
          for (const int part : op.parts) {
            const Index n = program.sizes[part];
            move_columns(part, 0, op.output, column, n, rows, a, a);
            column += n;
          }
          break;
        }
      }
    }
  }

  // Copies n columns of one value's matrix into another's.
  void move_columns(int from, Index from_column, int to, Index to_column, Index n, Index rows,
                    const std::vector<T*>& source, const std::vector<T*>& target) const {
    for (Index x = 0; x < rows; ++x) {
      const T* begin = source[from] + x * row[from] + from_column;
      std::copy(begin, begin + n, target[to] + x * row[to] + to_column);
    }
  }

  void dense_forward(const Operation& op, Place<T>& place, Index rows) {
    T* z = place.in_place ? a[op.output] : place.z.data();
    const RowsTask<T> task{a[op.input], a_row[op.input], rows, op.n_in,        parameter(place.weights),
                           op.n_in + 1, op.n_out,        z,    row[op.output], Begin::bias};
    const auto activate = [&](Index row0, Index row1) {
      if (op.activation.function == Function::identity) return;
      const Index at = row0 * row[op.output];
      k.activation_forward(op.activation, parameter(place.alpha), z + at, a[op.output] + at, row1 - row0,
                           op.n_out, row[op.output]);
    };
    if (std::exchange(first_z_ready, false)) return activate(0, rows);
    look_for_zeros(op, rows);
    products.rows(task, &zeros[op.input], activate);
  }

  // Where the input of an operation is zero, if that makes its product faster, or the one that takes the error
  // back through the relu that made it: where a unit is at rest its delta is zero as well.
  void look_for_zeros(const Operation& op, Index rows) {
    const int v = op.input;
    if (!has_zeros[v] || zeros[v].known || (v != 0 && rows < kRowsForZeros)) return;
    double worthwhile = products.worthwhile_share(op.n_in, op.n_out);
    if (goes_back && made_by[v] >= 0 && program.operations[made_by[v]].input != 0) {
      const Operation& maker = program.operations[made_by[v]];
      worthwhile = std::max(worthwhile, products.worthwhile_share(maker.n_out, maker.n_in));
    }
    if (v == 0 || worthwhile > kLeastShare) {
      // Of hidden activations the error that goes back is worked on by the lists, too.
      const bool lists = v != 0 || rows < 2 || rows > kPairedRows || op.n_out > k.panel;
      products.look_for_zeros(a[v], a_row[v], rows, op.n_in, worthwhile, zeros[v], lists);
    }
  }

  // Whether one example would be worked on without its zeros.
  bool is_sparse(const T* x) {
    const Operation& first = program.operations.front();
    products.look_for_zeros(x, 0, 1, first.n_in, products.worthwhile_share(first.n_in, first.n_out),
                            next_zeros);
    return next_zeros.known;
  }

  void dropout_forward(const Operation& op, Place<T>& place, Index rows, bool training, std::uint64_t seed,
                       std::uint64_t step, const std::int64_t* which) {
    if (!training || op.rate == 0.0) {  // the identity: the very same numbers
      a[op.output] = a[op.input];
      return;
    }
    const bool alpha = op.kind == Kind::alpha_dropout;
    const std::uint64_t positions[2] = {op.place, step};
    const Stream source = stream(seed, Purpose::dropout, positions, 2);
    const Index r = row[op.output];
    in_row_parts(rows, op.n_out * 60, [&](Index row0, Index row1) {
      T* mask = place.mask.data() + row0 * r;
      k.dropout_mask(source, which + row0, op.rate, alpha, mask, row1 - row0, op.n_out, r);
      k.dropout_forward(a[op.input] + row0 * r, mask, op.rate, alpha, a[op.output] + row0 * r, row1 - row0,
                        op.n_out, r);
    });
  }

  // Elementwise work on rows; `cost` operations per row.
  template <class Work>
  void in_row_parts(Index rows, Index cost, const Work& work) {
    const int parts = pool.count();
    if (parts == 1 || static_cast<double>(rows) * static_cast<double>(cost) < kParallelWork)
      return work(0, rows);
    pool.run([&](int part) { work(part_begin(rows, part, parts), part_begin(rows, part + 1, parts)); });
  }

  void batch_norm_forward(const Operation& op, Place<T>& place, Index rows, bool training) {
    const Index r = row[op.output];
    const T* mean = buffers.data() + place.mean;
    const T* variance = buffers.data() + place.variance;
    if (training) {
      if (rows < 2) throw std::invalid_argument("BatchNorm in training got a batch of 1 example");
      k.batch_norm_statistics(a[op.input], place.row_mean.data(), place.row_variance.data(), rows, 0, r, r);
      mean = place.row_mean.data();
      variance = place.row_variance.data();
    } else if (place.row_mean.size() > 0) {
      std::copy(mean, mean + op.n_out, place.row_mean.data());
      std::copy(variance, variance + op.n_out, place.row_variance.data());
    }
    k.norm_columns_forward(a[op.input], mean, variance, op.epsilon, parameter(place.gamma),
                           parameter(place.beta), place.x_hat.data(), a[op.output], rows, 0, r, r);
  }

  // -- backward -------------------------------------------------------------------------------------

  // From error[last] = ∂C_x/∂a (∂C_x/∂z where the cost is fused) to every gradient. `use` gets each
  // operation whose gradient is due, after its error has been handed back.
  template <class Use>
  void backward(Index rows, bool training, const Use& use, std::vector<Seen<T>>* seen) {
    const std::size_t last = values.size() - 1;
    for (std::size_t v = 0; v < last; ++v) error[v] = errors[v].data();
    for (std::size_t i = places.size(); i-- > 0;) {
      const Operation& op = program.operations[i];
      Place<T>& place = places[i];
      T* own = error[op.output];
      const Index r = row[op.output];
      if (seen != nullptr) note((*seen)[i].error, own, rows, op.output);
      const bool fused = program.cost.fused && static_cast<std::size_t>(op.output) == last;
      if ((op.kind == Kind::dense || op.kind == Kind::activation) && !fused) {
        if (op.activation.function != Function::identity) {
          const T* z = z_of(i);
          in_row_parts(rows, 20 * op.n_out, [&](Index row0, Index row1) {
            const Index at = row0 * r;
            T* alpha_rows = op.alpha >= 0 ? place.alpha_rows.data() + at : nullptr;
            k.activation_backward(op.activation, parameter(place.alpha), z + at, a[op.output] + at, own + at,
                                  alpha_rows, row1 - row0, op.n_out, r);
          });
        }
      }
      if (seen != nullptr) note((*seen)[i].delta, own, rows, op.output);
      if (op.kind == Kind::add) {
        hand_over(op, place, own, rows, seen != nullptr ? &(*seen)[i] : nullptr);
        continue;
      }
      if (op.kind == Kind::join) {
        hand_apart(op, place, rows);
        continue;
      }
      const bool wanted = op.input != 0 || wants_input_error;
      T* into = place.adds ? handed.data() : error[op.input];
      hand_back(op, place, own, into, rows, training, wanted);
      if (wanted && seen != nullptr) note((*seen)[i].handed_back, into, rows, op.input);
      if (wanted && place.adds) k.add(into, error[op.input], rows * row[op.input]);
      use(i, own);
    }
  }

  // a = input + other: both get the error as it is.
  void hand_over(const Operation& op, const Place<T>& place, const T* own, Index rows, Seen<T>* seen) {
    const Index count = rows * row[op.output];
    if (seen != nullptr) note(seen->handed_back, own, rows, op.output);
    const auto give = [&](T* to, bool adds) {
      adds ? k.add(own, to, count) : void(std::copy(own, own + count, to));
    };
    give(error[op.input], place.adds);  // in the order of `link`: the two may be one value
    give(error[op.other], place.adds_other);
  }

  // a = the parts side by side: each gets its own columns of the error.
  void hand_apart(const Operation& op, const Place<T>& place, Index rows) {
    Index column = 0;
    for (std::size_t i = 0; i < op.parts.size(); ++i) {
      const int part = op.parts[i];
      const Index n = program.sizes[part];
      for (Index x = 0; x < rows; ++x) {
        const T* from = error[op.output] + x * row[op.output] + column;
        T* to = error[part] + x * row[part];
        for (Index j = 0; j < n; ++j) to[j] = place.adds_part[i] ? to[j] + from[j] : from[j];
      }
      column += n;
    }
  }

  // What an operation hands back to its input, and the gradients that come with it.
  void hand_back(const Operation& op, Place<T>& place, const T* own, T* into, Index rows, bool training,
                 bool wanted) {
    const Index r = row[op.output];
    T* g = gradient.data();
    switch (op.kind) {
      case Kind::dense:
        if (wanted) dense_back(op, place, own, into, rows);
        break;
      case Kind::activation:
        if (wanted) std::copy(own, own + rows * r, into);
        break;
      case Kind::dropout:
      case Kind::alpha_dropout:
        if (!wanted) break;
        if (training && op.rate > 0.0) {
          k.dropout_backward(place.mask.data(), own, into, false, rows, op.n_out, r);
        } else {
          std::copy(own, own + rows * r, into);
        }
        break;
      case Kind::batch_norm:
        k.norm_columns_backward(own, place.x_hat.data(), place.row_variance.data(), op.epsilon,
                                parameter(place.gamma), training, g + place.gamma, g + place.beta,
                                wanted ? into : handed.data(), false, rows, 0, r, r);
        break;
      case Kind::layer_norm:
        k.layer_norm_parameters(own, place.x_hat.data(), g + place.gamma, g + place.beta, rows, op.n_out, r);
        if (wanted) {
          k.layer_norm_backward(own, place.x_hat.data(), place.row_variance.data(), op.epsilon,
                                parameter(place.gamma), into, false, rows, op.n_out, r);
        }
        break;
      case Kind::take:
        if (!wanted) break;
        std::fill(into, into + rows * row[op.input], T(0));
        for (Index x = 0; x < rows; ++x) {
          std::copy(own + x * r, own + x * r + op.n_out, into + x * row[op.input] + op.first_column);
        }
        break;
      case Kind::add:
      case Kind::join: break;
    }
  }

  void dense_back(const Operation& op, const Place<T>& place, const T* delta, T* into, Index rows) {
    const Index panels = k.panel_count(op.n_in);
    const int parts = pool.count();
    if (parts > 1 && static_cast<double>(op.n_in) * static_cast<double>(op.n_out) > 5.0e4) {
      pool.run([&](int part) {
        k.transpose(parameter(place.weights), op.n_out, op.n_in, transposed.data(),
                    part_begin(panels, part, parts), part_begin(panels, part + 1, parts));
      });
    } else {
      k.transpose(parameter(place.weights), op.n_out, op.n_in, transposed.data(), 0, panels);
    }
    const RowsTask<T> task{delta,    row[op.output], rows, op.n_out,      transposed.data(),
                           op.n_out, op.n_in,        into, row[op.input], Begin::zero};
    const int same = delta_zeros[op.output];
    products.rows(task, same >= 0 ? &zeros[same] : nullptr, [](Index, Index) {});
  }

  // The gradient of a Dense layer, written down or (with numbers) used at once.
  void dense_gradient(const Operation& op, const Place<T>& place, const T* delta, Index rows,
                      const StepNumbers* of_weights, const StepNumbers* of_biases, T* into,
                      Ahead* ahead = nullptr) {
    T* own_slots[3];
    for (int s = 0; s < 3; ++s) own_slots[s] = s < n_slots ? slots[s].data() + place.weights : nullptr;
    const GradientTask<T> task{a[op.input], a_row[op.input],
                               rows,        op.n_in,
                               delta,       row[op.output],
                               op.n_out,    1.0 / static_cast<double>(rows),
                               into,        of_weights,
                               of_biases,   parameters.data() + place.weights,
                               own_slots,   pool.count() == 1 ? ahead : nullptr};
    if (next_example != nullptr && op.input == 0) {
      T* z = place.in_place ? a[op.output] : const_cast<T*>(place.z.data());
      k.update_and_forward(task, next_example, op.b >= 0, z);
      first_z_ready = true;
      return;
    }
    products.gradient(task, &zeros[op.input], op.b >= 0);
  }

  // The mean over the rows of the gradient of PReLU's slopes.
  void alpha_gradient(const Operation& op, const Place<T>& place, Index rows, T* into) const {
    const Index r = row[op.output], count = alpha_count(op);
    for (Index j = 0; j < count; ++j) {
      double total = 0.0;
      for (Index x = 0; x < rows; ++x) total += static_cast<double>(place.alpha_rows.data()[x * r + j]);
      into[j] = static_cast<T>(total / static_cast<double>(rows));
    }
  }

  void note(std::vector<T>& to, const T* from, Index rows, int value) const {
    const Index n = program.sizes[static_cast<std::size_t>(value)];
    const Index r = row[static_cast<std::size_t>(value)];
    to.resize(static_cast<std::size_t>(rows * n));
    for (Index x = 0; x < rows; ++x) std::copy(from + x * r, from + x * r + n, to.data() + x * n);
  }
};

}  // namespace clearprop
