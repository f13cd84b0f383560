// Outputs of a handful of examples straight from theta, for networks that are chains. No Python in it.
#pragma once

#include <vector>

#include "engine.hpp"
#include "memory.hpp"

namespace clearprop {

// Reads parameters where they lie and keeps nothing of them, so that theta may change between two calls.
template <class T>
class Reader {
 public:
  Reader(Program program, const InstructionSet& set);

  // Whether a reader can run it: Dense, Activation and dropout, one after another.
  static bool suits(const Program& program);

  const Program& program() const { return program_; }

  // Outputs a (rows, n_out) in inference mode of 1 to kFewRows rows; false, and nothing written, where X holds
  // NaN or infinity.
  bool output(const T* theta, const T* X, Index x_row, Index rows, T* a);

 private:
  Program program_;
  const Kernels<T>& k_;
  std::vector<Index> row_;  // padded columns of each value
  Numbers<T> z_, a_[2];     // a of successive operations lies here and there in turn
  int turn_ = 0;
};

extern template class Reader<float>;
extern template class Reader<double>;

}  // namespace clearprop
