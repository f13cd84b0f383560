// What a program needs in memory: where its parameters lie, what a pass leaves, which values may hold zeros.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine.hpp"
#include "memory.hpp"
#include "shared_products.hpp"

namespace clearprop {

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
struct Layout {
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
  Index capacity = 0, back_capacity = 0;  // rows that there is room for in a pass forwards, and backwards
  const T* next_example = nullptr;        // the first operation's update goes together with z of this example
  bool first_z_ready = false;  // z of the first operation is there already, for the one example that comes
  bool goes_back = false;      // whether a backward pass follows
  bool keeps_z = false, direct_input = true, reads_input_once = true, wants_input_error = false;

  Layout(Program p, const InstructionSet& s, int threads)
      : program(std::move(p)), set(s), k(kernels_of<T>(s)), pool(threads) {
    link();
    lay_out();
  }

  // -- the program ----------------------------------------------------------------------------------

  void link() {
    clearprop::link(program);
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

  // For passes over so many rows, forwards, and backwards if asked: one that only predicts has no errors.
  void make_room(Index rows, bool backward, bool keep_z) {
    Index back = backward ? rows : 0;
    if (rows <= capacity && back <= back_capacity && (keeps_z || !keep_z)) return;
    rows = std::max(rows, capacity);
    back = std::max(back, back_capacity);
    keep_z = keep_z || keeps_z;
    capacity = back_capacity = 0;  // until all of it is there
    const std::size_t n = program.sizes.size(), last = n - 1;
    for (std::size_t v = 0; v < n; ++v) {
      values[v].grow(product(rows, row[v]));
      errors[v].grow(product(back, row[v]));
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Operation& op = program.operations[i];
      Place<T>& place = places[i];
      const Index size = product(rows, row[op.output]), back_size = product(back, row[op.output]);
      const bool has_z = op.kind == Kind::dense || op.kind == Kind::activation;
      place.in_place =
          op.kind == Kind::dense &&
          (op.activation.function == Function::identity ||
           (!keep_z && static_cast<std::size_t>(op.output) != last && slope_from_output(op.activation)));
      if (has_z && !place.in_place) place.z.grow(size);
      if (op.kind == Kind::dropout || op.kind == Kind::alpha_dropout) place.mask.grow(back_size);
      if (op.gamma >= 0) {
        place.x_hat.grow(size);
        place.row_mean.grow(std::max(rows, row[op.output]));
        place.row_variance.grow(std::max(rows, row[op.output]));
      }
      if (op.alpha >= 0) place.alpha_rows.grow(back_size);
    }
    if (back > 0) {
      y.grow(product(back, row[last]));
      weights.grow(back);
      Index widest = 0, largest = 0;
      for (const Operation& op : program.operations) {
        if (op.kind != Kind::join) widest = std::max(widest, row[op.input]);
        if (op.kind == Kind::dense) largest = std::max(largest, k.panel_numbers(op.n_in, op.n_out + 1));
      }
      handed.grow(product(back, widest));
      transposed.grow(largest);
    }
    costs.resize(static_cast<std::size_t>(rows));
    capacity = rows;
    back_capacity = back;
    keeps_z = keep_z;
  }
};

}  // namespace clearprop
