// Arrays as Python hands them over, and what must hold of them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <stdexcept>

#include "engine.hpp"

namespace clearprop {

namespace nb = nanobind;

template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

// Releases the interpreter's lock, if what is to be done takes longer than handing it over. For less, threads
// with small networks would wake each other and find it taken again. work: multiplications, roughly.
class Released {
 public:
  explicit Released(double work) {
    if (work > 2e6) release_.emplace();
  }

 private:
  std::optional<nb::gil_scoped_release> release_;
};

// What each example and parameter costs, and what each example costs besides.
inline double work_of(std::size_t examples, Index n_theta) {
  return static_cast<double>(examples) * (static_cast<double>(n_theta) + 256.0);
}

inline void check(bool right, const char* message) {
  if (!right) throw std::invalid_argument(message);
}

template <class T>
Index row_stride(const Matrix<const T>& X) {
  check(X.shape(0) == 0 || X.shape(1) <= 1 || X.stride(1) == 1, "rows must be contiguous");
  return X.shape(0) <= 1 ? static_cast<Index>(X.shape(1)) : X.stride(0);
}

// Rows one after another, as the engine writes them.
template <class T>
void check_result(const Matrix<T>& into, std::size_t rows, Index columns, const char* message) {
  check(into.shape(0) == rows && static_cast<Index>(into.shape(1)) == columns, message);
  check(rows == 0 || columns <= 1 || into.stride(1) == 1, "results must be contiguous");
  check(rows <= 1 || into.stride(0) == columns, "results must be contiguous");
}

// The entries of the rows that will be read lie where a CSR matrix of that size has them.
inline void check_sparse(const Vector<const std::int32_t>& columns, const Vector<const std::int64_t>& starts,
                         const Vector<const std::int64_t>& order, Index n_columns) {
  const auto entries = static_cast<std::int64_t>(columns.shape(0));
  for (std::size_t i = 0; i < order.shape(0); ++i) {
    const std::int64_t begin = starts.data()[order.data()[i]], end = starts.data()[order.data()[i] + 1];
    check(begin >= 0 && end <= entries, "not a CSR matrix");
    for (std::int64_t at = begin; at < end; ++at) {
      check(columns.data()[at] >= 0 && columns.data()[at] < n_columns, "a column that X does not have");
    }
  }
}

template <class T>
Data<T> read_data(const Program& program, const std::optional<Matrix<const T>>& X, const Matrix<const T>& y,
                  const std::optional<Vector<const T>>& weights) {
  Data<T> data;
  if (X) {
    check(static_cast<Index>(X->shape(1)) == program.n_in,
          "X has another number of columns than the network");
    check(X->shape(0) == y.shape(0), "X and y differ in length");
    data.X = X->data();
    data.x_row = row_stride<T>(*X);
  }
  check(static_cast<Index>(y.shape(1)) == program.n_out, "y has another number of columns than the network");
  data.y = y.data();
  data.y_row = row_stride<T>(y);
  if (weights) {
    check(weights->shape(0) == y.shape(0), "weights and y differ in length");
    data.weights = weights->data();
  }
  return data;
}

}  // namespace clearprop
