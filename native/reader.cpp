#include "reader.hpp"

#include <algorithm>

#include "pass.hpp"

namespace clearprop {

namespace {

bool is_dropout(Kind kind) { return kind == Kind::dropout || kind == Kind::alpha_dropout; }

}  // namespace

template <class T>
bool Reader<T>::suits(const Program& program) {
  int value = 0;
  for (const Operation& op : program.operations) {
    const bool known = op.kind == Kind::dense || op.kind == Kind::activation || is_dropout(op.kind);
    if (!known || op.input != value) return false;
    value = op.output;
  }
  return true;
}

template <class T>
Reader<T>::Reader(Program program, const InstructionSet& set)
    : program_(std::move(program)), k_(kernels_of<T>(set)) {
  Index widest = 0;
  link(program_);
  for (const Index size : program_.sizes) {
    row_.push_back(padded<T>(size));
    widest = std::max(widest, row_.back());
  }
  for (Numbers<T>* numbers : {&z_, &a_[0], &a_[1]}) numbers->resize(product(kFewRows, widest));
}

template <class T>
bool Reader<T>::output(const T* theta, const T* X, Index x_row, Index rows, T* a) {
  for (Index x = 0; x < rows; ++x) {
    if (!k_.all_finite(X + x * x_row, program_.n_in)) return false;
  }
  const FlushToZero flush;
  const T* in = X;
  Index in_row = x_row;
  for (const Operation& op : program_.operations) {
    if (is_dropout(op.kind)) continue;  // the identity
    turn_ = 1 - turn_;
    T* out = a_[turn_].data();
    const Index row = row_[op.output];
    const T* z = in;
    if (op.kind == Kind::dense) {
      const T* b = op.b >= 0 ? theta + op.b : nullptr;
      k_.few_rows_product({in, in_row, rows, op.n_in, theta + op.W, b, op.n_out, z_.data(), row});
      z = z_.data();
    } else if (in == X) {
      for (Index x = 0; x < rows; ++x) std::copy(X + x * x_row, X + x * x_row + op.n_in, z_.data() + x * row);
      z = z_.data();
    }
    const T* alpha = op.alpha >= 0 ? theta + op.alpha : nullptr;
    k_.activation_forward(op.activation, alpha, z, out, rows, op.n_out, row);
    in = out;
    in_row = row;
  }
  for (Index x = 0; x < rows; ++x)
    std::copy(in + x * in_row, in + x * in_row + program_.n_out, a + x * program_.n_out);
  return true;
}

template class Reader<float>;
template class Reader<double>;

}  // namespace clearprop
