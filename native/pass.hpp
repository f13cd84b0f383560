// One pass through a program, forward and backward: its memory, its operations, its threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine.hpp"
#include "memory.hpp"
#include "shared_products.hpp"

namespace clearprop {

// Hidden activations of fewer rows are not searched for zeros: few rows have sums of their own order in dense
// tiles, and a trace of them must have the numbers of training.
constexpr Index kRowsForZeros = 4;
// A product that is faster only with fewer nonzeros than this is not worth a search in hidden activations.
constexpr double kLeastShare = 0.3;

// Numbers of a padded row: whole cache lines, and an odd number of them where there are many, so that the
// same column of successive rows does not fall on few sets of the cache.
template <class T>
Index padded(Index n) {
  const Index line = static_cast<Index>(kAlignment / sizeof(T));
  Index lines = (n + line - 1) / line;
  if (lines >= 4 && lines % 2 == 0) ++lines;
  return lines * line;
}

// Whether f' follows from a = f(z) alone, so that z need not be kept.
inline bool slope_from_output(const Activation& f) {
  switch (f.function) {
    case Function::identity:
    case Function::sigmoid:
    case Function::tanh:
    case Function::relu: return true;
    default: return false;
  }
}

// Where an operation's numbers lie, and what a pass leaves there.
template <class T>
struct Place {
  Index weights = 0, alpha = 0, gamma = 0, beta = 0;  // offsets into the packed parameters
  Index mean = 0, variance = 0;                       // offsets into the packed buffers
  bool adds = false;            // backward: what it hands back is added to what is there
  bool adds_other = false;      // of `add`: the same for its second value
  std::vector<bool> adds_part;  // of `join`: the same for each of its values
  bool in_place = false;        // a lies where z lies
  Numbers<T> z, mask, x_hat, alpha_rows, row_mean, row_variance;
};

template <class T>
struct Pass {
  Program program;
  InstructionSet set;
  const Kernels<T>& k;
  Threads pool;
  SharedProducts<T> products{k, pool};

  Index n_packed = 0, n_buffers = 0;
  Numbers<T> parameters, slots[3], gradient, buffers, transposed, handed;
  int n_slots = 0;
  Optimizer optimizer;

  std::vector<Place<T>> places;
  std::vector<Index> row;  // padded columns of each value
  std::vector<Numbers<T>> values, errors;
  std::vector<T*> a, error;  // of each value in this pass; error[v] may lie where another's does
  std::vector<Index> a_row;
  std::vector<Zeros> zeros;      // of each value
  Zeros next_zeros;              // of the next example
  std::vector<bool> has_zeros;   // whether a value may well have many
  std::vector<int> made_by;      // the Dense operation whose relu gives a value's zeros, or -1
  std::vector<int> delta_zeros;  // the value whose zeros that operation's delta has
  Numbers<T> y, weights;
  std::vector<double> costs;
  Index capacity = 0;
  const T* next_example = nullptr;  // the first operation's update goes together with z of this example
  bool first_z_ready = false;  // z of the first operation is there already, for the one example that comes
  bool goes_back = false;      // whether a backward pass follows
  bool has_errors = false, keeps_z = false, direct_input = true, reads_input_once = true,
       wants_input_error = false;

  Pass(Program p, const InstructionSet& s, int threads)
      : program(std::move(p)), set(s), k(kernels_of<T>(s)), pool(threads) {
    link();
    lay_out();
  }

  // -- the program ----------------------------------------------------------------------------------

  void link() {
    for (Operation& op : program.operations) {
      op.activation.choices = op.choices.data();
      op.activation.n_choices = static_cast<Index>(op.choices.size());
      op.activation.choice_of = op.choice_of.data();
    }
    program.cost.quantiles = program.quantiles.empty() ? nullptr : program.quantiles.data();
    const std::size_t n = program.sizes.size();
    std::vector<bool> read(n, false);
    places.resize(program.operations.size());
    int readers = 0;
    for (const Operation& op : program.operations) {
      if (op.kind == Kind::join) {
        readers += static_cast<int>(std::count(op.parts.begin(), op.parts.end(), 0));
      } else {
        readers += (op.input == 0) + (op.kind == Kind::add && op.other == 0);
      }
    }
    reads_input_once = readers == 1;
    for (std::size_t i = program.operations.size(); i-- > 0;) {
      const Operation& op = program.operations[i];
      if (op.kind == Kind::join) {
        for (const int part : op.parts) {
          places[i].adds_part.push_back(read[part]);
          read[part] = true;
          if (part == 0) direct_input = false;
        }
        continue;
      }
      places[i].adds = read[op.input];
      read[op.input] = true;
      if (op.kind == Kind::add) {
        places[i].adds_other = read[op.other];
        read[op.other] = true;
      }
      if (op.input == 0 && op.kind != Kind::dense) direct_input = false;
      if (op.kind == Kind::add && op.other == 0) direct_input = false;
    }
    for (const Index size : program.sizes) row.push_back(padded<T>(size));
    values.resize(n);
    errors.resize(n);
    a.resize(n);
    error.resize(n);
    a_row.resize(n);
    zeros.resize(n);
    find_zeros_makers();
  }

  // The input may have zeros; what relu or dropout gives has.
  void find_zeros_makers() {
    const std::size_t n = program.sizes.size();
    has_zeros.assign(n, false);
    has_zeros[0] = true;
    made_by.assign(n, -1);
    delta_zeros.assign(n, -1);
    std::vector<int> readers(n, 0);
    for (const Operation& op : program.operations) {
      for (const int part : op.parts) ++readers[part];
      if (op.kind != Kind::join) ++readers[op.input];
      if (op.kind == Kind::add) ++readers[op.other];
    }
    for (std::size_t i = 0; i < program.operations.size(); ++i) {
      const Operation& op = program.operations[i];
      if (op.kind == Kind::dense && op.activation.function == Function::relu) {
        has_zeros[op.output] = true;
        made_by[op.output] = static_cast<int>(i);
        delta_zeros[op.output] = op.output;
      } else if (op.kind == Kind::dropout) {
        has_zeros[op.output] = true;
        if (made_by[op.input] < 0 || readers[op.input] > 1) continue;
        made_by[op.output] = made_by[op.input];
        delta_zeros[op.input] = op.output;
      }
    }
  }

  void lay_out() {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      Place<T>& place = places[i];
      const auto take = [](Index& end, Index count) { return std::exchange(end, end + count); };
      if (op.kind == Kind::dense) place.weights = take(n_packed, dense_numbers(op));
      if (op.alpha >= 0) place.alpha = take(n_packed, padded<T>(op.n_out));
      if (op.gamma >= 0) place.gamma = take(n_packed, padded<T>(op.n_out));
      if (op.beta >= 0) place.beta = take(n_packed, padded<T>(op.n_out));
      if (op.mean >= 0) place.mean = take(n_buffers, padded<T>(op.n_out));
      if (op.variance >= 0) place.variance = take(n_buffers, padded<T>(op.n_out));
    }
    parameters.resize(n_packed);
    buffers.resize(n_buffers);
  }

  Index dense_numbers(const Operation& op) const {
    product(op.n_out + k.panel, op.n_in + 1);  // throws where it would overflow
    const Index line = static_cast<Index>(kAlignment / sizeof(T));
    return (k.panel_numbers(op.n_out, op.n_in + 1) + line - 1) / line * line;
  }

  Index alpha_count(const Operation& op) const { return op.activation.shared ? 1 : op.n_out; }

  // Copies between a flat vector in the order of theta and a packed one.
  template <class Flat, class Packed, class Pair>
  void each_parameter(Flat* flat, Packed* packed, const Pair& dense) const {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      const Place<T>& place = places[i];
      if (op.kind == Kind::dense) {
        dense(flat + op.W, op.b >= 0 ? flat + op.b : nullptr, op.n_out, op.n_in, packed + place.weights);
      }
      const auto vector = [&](Index from, Index to, Index count) {
        if (from >= 0) copy_vector(flat + from, packed + to, count);
      };
      vector(op.alpha, place.alpha, op.alpha >= 0 ? alpha_count(op) : 0);
      vector(op.gamma, place.gamma, op.n_out);
      vector(op.beta, place.beta, op.n_out);
    }
  }

  static void copy_vector(const T* flat, T* packed, Index count) { std::copy(flat, flat + count, packed); }
  static void copy_vector(T* flat, const T* packed, Index count) { std::copy(packed, packed + count, flat); }

  void pack_all(const T* flat, T* packed) const { each_parameter(flat, packed, k.pack); }

  void unpack_all(const T* packed, T* flat) const {
    each_parameter(flat, packed, [this](T* W, T* b, Index n, Index depth, const T* panels) {
      k.unpack(panels, n, depth, W, b);
    });
  }

  template <class Flat, class Packed>
  void each_buffer(Flat* flat, Packed* packed) const {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      if (op.mean >= 0) copy_vector(flat + op.mean, packed + places[i].mean, op.n_out);
      if (op.variance >= 0) copy_vector(flat + op.variance, packed + places[i].variance, op.n_out);
    }
  }

  // -- memory of a pass -----------------------------------------------------------------------------

  void make_room(Index rows, bool backward, bool keep_z) {
    if (rows <= capacity && (has_errors || !backward) && (keeps_z || !keep_z)) return;
    rows = std::max(rows, capacity);
    backward = backward || has_errors;
    keep_z = keep_z || keeps_z;
    capacity = 0;  // until all of it is there
    const std::size_t n = program.sizes.size(), last = n - 1;
    for (std::size_t v = 0; v < n; ++v) {
      values[v].resize(product(rows, row[v]));
      if (backward) errors[v].resize(product(rows, row[v]));
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      Place<T>& place = places[i];
      const Index size = product(rows, row[op.output]);
      const bool has_z = op.kind == Kind::dense || op.kind == Kind::activation;
      place.in_place =
          op.kind == Kind::dense &&
          (op.activation.function == Function::identity ||
           (!keep_z && static_cast<std::size_t>(op.output) != last && slope_from_output(op.activation)));
      if (has_z && !place.in_place) place.z.resize(size);
      if (op.kind == Kind::dropout || op.kind == Kind::alpha_dropout) place.mask.resize(size);
      if (op.gamma >= 0) {
        place.x_hat.resize(size);
        place.row_mean.resize(std::max(rows, row[op.output]));
        place.row_variance.resize(std::max(rows, row[op.output]));
      }
      if (op.alpha >= 0 && backward) place.alpha_rows.resize(size);
    }
    if (backward) {
      y.resize(product(rows, row[last]));
      weights.resize(rows);
      Index widest = 0, largest = 0;
      for (const Operation& op : program.operations) {
        if (op.kind != Kind::join) widest = std::max(widest, row[op.input]);
        if (op.kind == Kind::dense) largest = std::max(largest, k.panel_numbers(op.n_in, op.n_out + 1));
      }
      handed.resize(product(rows, widest));
      if (transposed.size() < largest) transposed.resize(largest);
    }
    costs.resize(static_cast<std::size_t>(rows));
    capacity = rows;
    has_errors = backward;
    keeps_z = keep_z;
  }

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
      products.look_for_zeros(a[v], a_row[v], rows, op.n_in, worthwhile, zeros[v]);
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
    if (parts > 1 && static_cast<double>(op.n_in) * static_cast<double>(op.n_out) > 1.0e5) {
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
