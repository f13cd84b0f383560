// Small loops over flat arrays of whole vectors, and the limit on the norms of weight rows.
#pragma once

#include "products.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// The sum of squares in float64, in one order.
template <class T>
double square_sum(const T* x, Index count) {
  double lanes[kLanes<T>] = {};
  for (Index i = 0; i < count; i += kLanes<T>) {
    for (int j = 0; j < kLanes<T>; ++j) lanes[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  double total = 0.0;
  for (const double lane : lanes) total += lane;
  return total;
}

template <class T>
void scale(T* x, Index count, double factor) {
  for (Index i = 0; i < count; i += kLanes<T>) store(x + i, load(x + i) * splat(T(factor)));
}

// Each entry into [-limit, limit]; NaN stays.
template <class T>
void clip(T* x, Index count, double limit) {
  const Vec<T> high = splat(T(limit)), low = splat(T(-limit));
  for (Index i = 0; i < count; i += kLanes<T>) {
    store(x + i, at_most<T>(at_least<T>(load(x + i), low), high));
  }
}

// Rows of a matrix, by index, into padded rows.
template <class T>
void gather(const T* X, Index x_row, const std::int64_t* which, Index rows, Index n, T* out, Index row) {
  for (Index i = 0; i < rows; ++i) {
    const T* from = X + which[i] * x_row;
    T* to = out + i * row;
    Index j = 0;
    for (; j + kLanes<T> <= n; j += kLanes<T>) store(to + j, load(from + j));
    for (; j < n; ++j) to[j] = from[j];
  }
}

template <class T>
void add(const T* x, T* total, Index count) {
  for (Index i = 0; i < count; i += kLanes<T>) store(total + i, load(total + i) + load(x + i));
}

// gradient += l1 sign(w) + l2 w.
template <class T>
void add_penalty(const StepNumbers& s, const T* w, T* gradient, Index begin, Index end) {
  const Constants<T> c(s);
  for (Index i = begin; i < end; i += kLanes<T>)
    store(gradient + i, c.penalised(load(gradient + i), load(w + i)));
}

// Scales the weights of each neuron whose norm exceeds the limit down to it; biases stay.
template <class T>
void limit_norms(T* panels, Index n, Index inputs, double limit) {
  for (Index i = 0; i < panel_count<T>(n); ++i) {
    const int width = panel_width<T>(n, i);
    T* panel = panels + i * kPanel<T> * (inputs + 1);
    for (int j = 0; j < width; ++j) {
      double square = 0.0;
      for (Index k = 0; k < inputs; ++k)
        square += static_cast<double>(panel[k * width + j]) * panel[k * width + j];
      const double norm = __builtin_sqrt(square);
      if (!(norm > limit) || norm - norm != 0.0) continue;
      const T factor = T(limit / norm);
      for (Index k = 0; k < inputs; ++k) panel[k * width + j] *= factor;
    }
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
