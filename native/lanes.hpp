// The passes of a small network with the examples of a batch in the lanes.
//
// Everything here is a matrix (units, width): one row per unit, the examples side by side in whole vectors.
// Weights are read one number at a time, so it does not matter how they lie: along the inputs where a layer has
// more of those, else along the neurons; these are the "fast" side of a gradient. So no lane is lost however few
// units a layer has; what is lost is the lanes after the last example, which repeat it and whose error is 0.
//
//   forward     z_j = b_j + sum_k W_jk a_k
//   back        dC_da_k = sum_j W_jk delta_j
//
// The gradient is in lanes_gradient.hpp, the costs in lanes_costs.hpp.
#pragma once

#include "activations.hpp"
#include "products.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// Between rows and lanes -----------------------------------------------------------------------------------

// A square block of rows as lanes: out[k][i] = rows[i][k].
template <class T>
CLEARPROP_INLINE void block_into_lanes(const T* const* rows, Index column, T* out, Index width) {
  Vec<T> row[kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) row[i] = load(rows[i] + column);
  transpose_lanes<T>(row);
#pragma GCC unroll 16
  for (int k = 0; k < kLanes<T>; ++k) store(out + (column + k) * width, row[k]);
}

// Rows of X (·, n), by index, into lanes (n, width); the lanes after the last row repeat it. The rows that are
// read next are asked for.
template <class T>
void lanes_gather(const LanesRows<T>& t, T* out, Index width) {
  for (Index at = 0; at < t.ahead; ++at) __builtin_prefetch(t.X + t.which[t.rows + at] * t.x_row);
  for (Index first = 0; first < t.rows; first += kLanes<T>) {
    const Index count = t.rows - first < kLanes<T> ? t.rows - first : kLanes<T>;
    if (count == 1) {
      const T* row = t.X + t.which[first] * t.x_row;
      for (Index k = 0; k < t.n; ++k) store(out + k * width + first, splat(row[k]));
      break;
    }
    const T* rows[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i)
      rows[i] = t.X + t.which[first + (i < count ? i : count - 1)] * t.x_row;
    Index k = 0;
    for (; k + kLanes<T> <= t.n; k += kLanes<T>) block_into_lanes<T>(rows, k, out + first, width);
    for (; k < t.n; ++k) {
      T* to = out + k * width + first;
      for (int i = 0; i < kLanes<T>; ++i) to[i] = rows[i][k];
    }
  }
}

// Lanes (n, width) into rows (rows, n), one after another.
template <class T>
void lanes_rows(const T* lanes, Index width, Index rows, Index n, T* out) {
  for (Index x = 0; x < rows; ++x) {
    for (Index j = 0; j < n; ++j) out[x * n + j] = lanes[j * width + x];
  }
}

// The two products -----------------------------------------------------------------------------------------

// Units and vectors of the batch whose sums are made at once.
constexpr int kLaneUnits = 4;
constexpr int kLaneVectors = kRegisters == 32 ? 4 : 2;

template <class T>
struct LanesProduct {
  const T* in;
  const T* weights;
  Index weights_unit, weights_in;  // steps from one result to the next, and from one summand to the next
  const T* biases;                 // or null
  T* out;
  Index depth, n, width;
};

// What becomes of a sum before it is stored.
template <class T>
struct Kept {
  CLEARPROP_INLINE Vec<T> operator()(Vec<T> sum, Index) const { return sum; }
};
template <class T>
struct Rectified {  // a = max(z, 0); its z is not asked for
  CLEARPROP_INLINE Vec<T> operator()(Vec<T> sum, Index) const { return at_least<T>(sum, Vec<T>{}); }
};
template <class T>
struct RectifiedSlope {  // dC_dz = dC_da where a > 0
  const T* a;
  CLEARPROP_INLINE Vec<T> operator()(Vec<T> sum, Index at) const {
    return sum * select<T>(load(a + at) > T(0), splat(T(1)), Vec<T>{});
  }
};

template <class T, class Then, int kUnits, int kVectors>
CLEARPROP_INLINE void lanes_tile(const LanesProduct<T>& p, const Then& then, Index unit, Index x) {
  Vec<T> c[kUnits][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kUnits; ++i) {
    const Vec<T> bias = p.biases == nullptr ? Vec<T>{} : splat(p.biases[unit + i]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) c[i][v] = bias;
  }
  const T* in = p.in + x;
  const T* weights = p.weights + unit * p.weights_unit;
  for (Index k = 0; k < p.depth; ++k, in += p.width, weights += p.weights_in) {
    Vec<T> a[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) a[v] = load(in + v * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < kUnits; ++i) {
      const Vec<T> w = splat(weights[i * p.weights_unit]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) c[i][v] = fused<T>(w, a[v], c[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kUnits; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Index at = (unit + i) * p.width + x + v * kLanes<T>;
      store(p.out + at, then(c[i][v], at));
    }
  }
}

template <class T, class Then, int kVectors>
void lanes_column(const LanesProduct<T>& shared, const Then& shared_then, Index x) {
  // Copies that no store to the results can change.
  const LanesProduct<T> p = shared;
  const Then then = shared_then;
  Index unit = 0;
  for (; unit + kLaneUnits <= p.n; unit += kLaneUnits)
    lanes_tile<T, Then, kLaneUnits, kVectors>(p, then, unit, x);
  switch (p.n - unit) {
    case 3: return lanes_tile<T, Then, 3, kVectors>(p, then, unit, x);
    case 2: return lanes_tile<T, Then, 2, kVectors>(p, then, unit, x);
    case 1: return lanes_tile<T, Then, 1, kVectors>(p, then, unit, x);
    default: return;
  }
}

template <class T, class Then>
void lanes_product(const LanesProduct<T>& p, const Then& then) {
  Index x = 0;
  for (; x + kLaneVectors * kLanes<T> <= p.width; x += kLaneVectors * kLanes<T>) {
    lanes_column<T, Then, kLaneVectors>(p, then, x);
  }
  if constexpr (kLaneVectors == 4) {
    if (x + 2 * kLanes<T> <= p.width) {
      lanes_column<T, Then, 2>(p, then, x);
      x += 2 * kLanes<T>;
    }
  }
  if (x < p.width) lanes_column<T, Then, 1>(p, then, x);
}

// z = W a_prev + b.
template <class T>
CLEARPROP_INLINE LanesProduct<T> forward_of(const LanesLayer<T>& layer, const T* a_prev, T* z, Index width) {
  return {a_prev, layer.W, layer.step_out, layer.step_in, layer.b, z, layer.n_in, layer.n_out, width};
}

// Softmax and functions of one's own per neuron --------------------------------------------------------------

template <class T>
void lanes_softmax(const T* z, T* a, Index n, Index width) {
  const Mask<T> all = ~Mask<T>{};
  for (Index x = 0; x < width; x += kLanes<T>) {
    Vec<T> top = splat(-Format<T>::big), total{};
    for (Index at = x; at < n * width; at += width)
      top = at_least<T>(finite_or_low<T>(load(z + at), all), top);
    for (Index at = x; at < n * width; at += width) {
      const Vec<T> e = exp_capped<T>(finite_or_low<T>(load(z + at), all) - top);
      total += e;
      store(a + at, e);
    }
    for (Index at = x; at < n * width; at += width) store(a + at, quotient<T>(load(a + at), total));
  }
}

template <class T>
void lanes_softmax_slope(const T* a, T* delta, Index n, Index width) {
  for (Index x = 0; x < width; x += kLanes<T>) {
    Vec<T> mean{};
    for (Index at = x; at < n * width; at += width) mean += load(a + at) * load(delta + at);
    for (Index at = x; at < n * width; at += width) {
      store(delta + at, load(a + at) * (load(delta + at) - mean));
    }
  }
}

template <class T>
void lanes_activate(const Activation& f, const T* z, T* a, Index n, Index width) {
  if (f.function == Function::softmax) return lanes_softmax(z, a, n, width);
  if (f.function == Function::increasing || f.function == Function::ordinal) {
    return lanes_ordered_forward<T>(f.function, z, a, n, width);
  }
  if (f.function != Function::per_neuron) return activation_forward<T>(f, nullptr, z, a, n, width, width);
  for (Index j = 0; j < n; ++j, z += width, a += width) {
    activation_forward<T>(f.choices[f.choice_of[j]], nullptr, z, a, 1, width, width);
  }
}

// One layer forward: z, and a = f(z), which may lie where z lies if f' follows from a.
template <class T>
void lanes_forward(const LanesLayer<T>& layer, const T* a_prev, T* z, T* a, Index width) {
  if (layer.activation->function == Function::relu && z == a) {
    return lanes_product<T>(forward_of(layer, a_prev, z, width), Rectified<T>{});
  }
  lanes_product<T>(forward_of(layer, a_prev, z, width), Kept<T>{});
  if (layer.activation->function != Function::identity || z != a) {
    lanes_activate<T>(*layer.activation, z, a, layer.n_out, width);
  }
}

// delta: dC_x/da on entry, dC_x/dz on return.
template <class T>
void lanes_slope(const Activation& f, const T* z, const T* a, T* delta, Index n, Index width) {
  if (f.function == Function::softmax) return lanes_softmax_slope(a, delta, n, width);
  if (f.function == Function::increasing || f.function == Function::ordinal) {
    return lanes_ordered_backward<T>(f.function, z, a, delta, n, width);
  }
  if (f.function != Function::per_neuron) {
    return activation_backward<T>(f, nullptr, z, a, delta, nullptr, n, width, width);
  }
  for (Index j = 0; j < n; ++j, z += width, a += width, delta += width) {
    activation_backward<T>(f.choices[f.choice_of[j]], nullptr, z, a, delta, nullptr, 1, width, width);
  }
}

// dC_da_prev = W^T delta; where the layer below is given by its rectified activations, its dC_dz.
template <class T>
void lanes_back(const LanesLayer<T>& layer, const T* delta, const T* rectified, T* into, Index width) {
  const LanesProduct<T> p{delta, layer.W,     layer.step_in, layer.step_out, nullptr,
                          into,  layer.n_out, layer.n_in,    width};
  rectified != nullptr ? lanes_product<T>(p, RectifiedSlope<T>{rectified}) : lanes_product<T>(p, Kept<T>{});
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
