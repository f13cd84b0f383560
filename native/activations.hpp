// Activations a = f(z): one struct each with the value and the slope, and the loops over a layer.
//
// The formulas, and the slopes at kinks, are those of clearprop/activations; where a factor would make
// 0 * inf at an infinite z it is held at `kFar`, beyond which the other factor has settled.
#pragma once

#include "ordered.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

constexpr double kFar = 1e3;

template <class T>
CLEARPROP_INLINE Vec<T> clipped(Vec<T> z, double limit) {
  return at_most<T>(at_least<T>(z, splat(static_cast<T>(-limit))), splat(static_cast<T>(limit)));
}

template <class T>
CLEARPROP_INLINE Vec<T> above_far(Vec<T> z) {
  return at_least<T>(z, splat(static_cast<T>(-kFar)));
}

// sigma(z) and sigma(z) (1 - sigma(z)) from one exponential, accurate in both tails.
template <class T>
struct Logistic {
  Vec<T> value, slope;

  CLEARPROP_INLINE explicit Logistic(Vec<T> z) {
    const Vec<T> e = exp_capped<T>(-magnitude<T>(z));
    const Vec<T> r = quotient<T>(splat(T(1)), e + T(1)), tail = e * r;
    value = select<T>(z < T(0), tail, r);
    slope = tail * r;
  }
};

// The functions --------------------------------------------------------------------------------------------

template <class T>
struct Identity {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return z; }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T>) const { return splat(T(1)); }
};

template <class T>
struct Sigmoid {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return expit<T>(z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T> a) const { return (T(1) - a) * a; }
};

template <class T>
struct Tanh {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return tanh<T>(z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T> a) const { return T(1) - a * a; }
};

template <class T>
struct ScaledTanh {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const {
    return tanh<T>(z * static_cast<T>(2.0 / 3.0)) * static_cast<T>(1.7159);
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T> a) const {
    const Vec<T> t = a * static_cast<T>(1.0 / 1.7159);
    return (T(1) - t) * (t + T(1)) * static_cast<T>(1.7159 * 2.0 / 3.0);
  }
};

template <class T>
struct ReLU {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return at_least<T>(z, Vec<T>{}); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const { return select<T>(z > T(0), splat(T(1)), Vec<T>{}); }
};

template <class T>
struct LeakyReLU {
  Vec<T> left;
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return select<T>(z > T(0), z, left * z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const { return select<T>(z > T(0), splat(T(1)), left); }
};

// ELU and SELU.
template <class T>
struct ExponentialLeft {
  Vec<T> right, left;
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const {
    return select<T>(z > T(0), right * z, left * expm1_capped<T>(at_most<T>(z, Vec<T>{})));
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    return select<T>(z > T(0), right, left * exp_capped<T>(at_most<T>(z, Vec<T>{})));
  }
};

template <class T>
struct GELU {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return above_far<T>(z) * normal_cdf<T>(z); }
  // Phi is read back from a.
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T> a) const {
    const Vec<T> near = clipped<T>(z, kFar);
    const Mask<T> tiny = magnitude<T>(z) < T(1e-30);
    const Vec<T> cdf = at_most<T>(a, splat(static_cast<T>(kFar))) / select<T>(tiny, splat(T(1)), near);
    const Vec<T> density = exp_capped<T>(near * near * T(-0.5)) * static_cast<T>(0.39894228040143267794);
    return select<T>(tiny, splat(T(0.5)), cdf) + near * density;
  }
};

template <class T>
struct GELUTanh {
  static constexpr T rate = static_cast<T>(1.5957691216057307118);  // 2 sqrt(2 / pi)
  static constexpr T cubic = static_cast<T>(0.044715);

  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const {
    const Vec<T> near = clipped<T>(z, kFar);
    return above_far<T>(z) * expit<T>(near * rate * (near * near * cubic + T(1)));
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    const Vec<T> near = clipped<T>(z, kFar), square = near * near;
    const Logistic<T> s(near * rate * (square * cubic + T(1)));
    return s.value + near * s.slope * ((square * (3 * cubic) + T(1)) * rate);
  }
};

template <class T>
struct SiLU {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return above_far<T>(z) * expit<T>(z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    const Logistic<T> s(z);
    return s.value + clipped<T>(z, kFar) * s.slope;
  }
};

// With e = exp(z) and m = e (e + 2), tanh(ln(1 + e)) = m / (m + 2), which is 1 from z = 20 on.
template <class T>
struct Mish {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const {
    const Vec<T> e = exp_capped<T>(at_most<T>(z, splat(T(20)))), m = e * (e + T(2));
    return above_far<T>(z) * quotient<T>(m, m + T(2));
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    const Vec<T> near = at_most<T>(above_far<T>(z), splat(T(20)));
    const Vec<T> e = exp_capped<T>(near), m = e * (e + T(2));
    const Vec<T> r = quotient<T>(splat(T(1)), m + T(2));
    return r * (m + near * T(4) * (e * (e + T(1)) * r));
  }
};

template <class T>
struct Softplus {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return softplus<T>(z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T> a) const { return -expm1_capped<T>(-a); }
};

template <class T>
struct Softsign {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const {
    z = clipped<T>(z, 1e30);
    return z / (magnitude<T>(z) + T(1));
  }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    const Vec<T> r = T(1) / (magnitude<T>(z) + T(1));
    return r * r;
  }
};

template <class T>
struct HardTanh {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return clipped<T>(z, 1.0); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T> z, Vec<T>) const {
    return select<T>(magnitude<T>(z) < T(1), splat(T(1)), Vec<T>{});
  }
};

template <class T>
struct Exponential {
  CLEARPROP_INLINE Vec<T> value(Vec<T> z) const { return exp<T>(z); }
  CLEARPROP_INLINE Vec<T> slope(Vec<T>, Vec<T> a) const { return a; }
};

// Calls use(function) with the struct of an elementwise activation; false if f is not one of them.
template <class T, class Use>
CLEARPROP_INLINE bool with_function(const Activation& f, const Use& use) {
  constexpr double selu = 1.0507009873554804934193349852946, selu_alpha = 1.6732632423543772848170429916717;
  const auto number = [](double x) { return splat(static_cast<T>(x)); };
  switch (f.function) {
    case Function::identity: return use(Identity<T>{}), true;
    case Function::sigmoid: return use(Sigmoid<T>{}), true;
    case Function::tanh: return use(Tanh<T>{}), true;
    case Function::scaled_tanh: return use(ScaledTanh<T>{}), true;
    case Function::relu: return use(ReLU<T>{}), true;
    case Function::leaky_relu: return use(LeakyReLU<T>{number(f.option)}), true;
    case Function::elu: return use(ExponentialLeft<T>{number(1.0), number(f.option)}), true;
    case Function::selu: return use(ExponentialLeft<T>{number(selu), number(selu * selu_alpha)}), true;
    case Function::gelu: return use(GELU<T>{}), true;
    case Function::gelu_tanh: return use(GELUTanh<T>{}), true;
    case Function::silu: return use(SiLU<T>{}), true;
    case Function::mish: return use(Mish<T>{}), true;
    case Function::softplus: return use(Softplus<T>{}), true;
    case Function::softsign: return use(Softsign<T>{}), true;
    case Function::hard_tanh: return use(HardTanh<T>{}), true;
    case Function::exponential: return use(Exponential<T>{}), true;
    case Function::softmax:
    case Function::increasing:
    case Function::ordinal:
    case Function::prelu:
    case Function::per_neuron: break;
  }
  return false;
}

// One function for all neurons -----------------------------------------------------------------------------

template <class T, class F>
void forward_flat(const F& f, const T* __restrict z, T* __restrict a, Index count) {
#pragma GCC unroll 4
  for (Index i = 0; i < count; i += kLanes<T>) store(a + i, f.value(load(z + i)));
}

template <class T, class F>
void backward_flat(const F& f, const T* __restrict z, const T* __restrict a, T* __restrict delta,
                   Index count) {
#pragma GCC unroll 4
  for (Index i = 0; i < count; i += kLanes<T>) {
    store(delta + i, load(delta + i) * f.slope(load(z + i), load(a + i)));
  }
}

// A function per neuron ------------------------------------------------------------------------------------

// The lanes whose neurons, from `column` on, take one choice; the padding takes that of the last neuron.
template <class T>
bool lanes_of(const Activation& f, Index choice, Index column, Index n, Mask<T>& mask) {
  Integer<T> lanes[kLanes<T>];
  bool any = false;
  for (int i = 0; i < kLanes<T>; ++i) {
    const bool mine = f.choice_of[column + i < n ? column + i : n - 1] == choice;
    lanes[i] = mine ? -1 : 0;
    any = any || mine;
  }
  std::memcpy(&mask, lanes, sizeof mask);
  return any;
}

// Calls use(function, lanes, column) for every function in every vector of columns.
template <class T, class Use>
CLEARPROP_INLINE void each_choice(const Activation& f, Index n, Index ld, const Use& use) {
  for (Index column = 0; column < ld; column += kLanes<T>) {
    for (Index choice = 0; choice < f.n_choices; ++choice) {
      Mask<T> lanes;
      if (!lanes_of<T>(f, choice, column, n, lanes)) continue;
      with_function<T>(f.choices[choice], [&](const auto& function) { use(function, lanes, column); });
    }
  }
}

template <class T>
void per_neuron_forward(const Activation& f, const T* z, T* a, Index rows, Index n, Index ld) {
  each_choice<T>(f, n, ld, [&](const auto& function, Mask<T> lanes, Index column) {
    for (Index i = column; i < rows * ld; i += ld) {
      store(a + i, select<T>(lanes, function.value(load(z + i)), load(a + i)));
    }
  });
}

template <class T>
void per_neuron_backward(const Activation& f, const T* z, const T* a, T* delta, Index rows, Index n,
                         Index ld) {
  each_choice<T>(f, n, ld, [&](const auto& function, Mask<T> lanes, Index column) {
    for (Index i = column; i < rows * ld; i += ld) {
      const Vec<T> above = load(delta + i);
      store(delta + i, select<T>(lanes, above * function.slope(load(z + i), load(a + i)), above));
    }
  });
}

// Softmax --------------------------------------------------------------------------------------------------

// z with infinities as a quarter of the largest number, so that inf - inf never occurs; as low in padding.
template <class T>
CLEARPROP_INLINE Vec<T> finite_or_low(Vec<T> z, Mask<T> real) {
  constexpr T big = Format<T>::big;
  return select<T>(real, at_most<T>(at_least<T>(z, splat(-big)), splat(big)), splat(-big));
}

template <class T>
void softmax_narrow(const T* __restrict z, T* __restrict a, Index rows, Index n, Index ld) {
  const Mask<T> real = first<T>(n);
  for (Index x = 0; x < rows; ++x, z += ld, a += ld) {
    const Vec<T> v = finite_or_low<T>(load(z), real);
    const Vec<T> e = select<T>(real, exp_capped<T>(v - largest_everywhere<T>(v)), Vec<T>{});
    // A NaN would spread to the padding.
    store(a, select<T>(real, quotient<T>(e, sum_everywhere<T>(e)), Vec<T>{}));
    for (Index j = kLanes<T>; j < ld; j += kLanes<T>) store(a + j, Vec<T>{});
  }
}

template <class T>
void softmax_wide(const T* __restrict z, T* __restrict a, Index rows, Index n, Index ld) {
  const Columns<T> columns(n);
  for (Index x = 0; x < rows; ++x, z += ld, a += ld) {
    Vec<T> top = splat(-Format<T>::big), total{};
    columns.each([&](Index j, Mask<T> real) { top = at_least<T>(finite_or_low<T>(load(z + j), real), top); });
    top = largest_everywhere<T>(top);
    columns.each([&](Index j, Mask<T> real) {
      const Vec<T> v = finite_or_low<T>(load(z + j), real);
      const Vec<T> e = select<T>(real, exp_capped<T>(v - top), Vec<T>{});
      total += e;
      store(a + j, e);
    });
    const Vec<T> share = T(1) / sum_everywhere<T>(total);
    columns.each(
        [&](Index j, Mask<T> real) { store(a + j, select<T>(real, load(a + j) * share, Vec<T>{})); });
    columns.clear_rest(a, ld);
  }
}

// dC_dz_j = a_j (dC_da_j - sum_k a_k dC_da_k).
template <class T>
void softmax_backward(const T* __restrict a, T* __restrict delta, Index rows, Index n, Index ld) {
  const Columns<T> columns(n);
  for (Index x = 0; x < rows; ++x, a += ld, delta += ld) {
    Vec<T> mean{};
    columns.each(
        [&](Index j, Mask<T> real) { mean += select<T>(real, load(a + j) * load(delta + j), Vec<T>{}); });
    mean = sum_everywhere<T>(mean);
    columns.each([&](Index j, Mask<T> real) {
      store(delta + j, select<T>(real, load(a + j) * (load(delta + j) - mean), Vec<T>{}));
    });
    columns.clear_rest(delta, ld);
  }
}

// PReLU ----------------------------------------------------------------------------------------------------

// The slopes of the neurons from `column` on; 0 in the padding.
template <class T>
Vec<T> slopes_of(const Activation& f, const T* alpha, Index column, Index n) {
  T lanes[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = column + i < n ? alpha[f.shared ? 0 : column + i] : T(0);
  return load<T>(lanes);
}

template <class T>
void prelu_forward(const Activation& f, const T* alpha, const T* z, T* a, Index rows, Index n, Index ld) {
  for (Index column = 0; column < ld; column += kLanes<T>) {
    const Vec<T> slope = slopes_of(f, alpha, column, n);
    for (Index i = column; i < rows * ld; i += ld) {
      const Vec<T> v = load(z + i);
      // 0 * -inf would be NaN.
      const Vec<T> left = select<T>(slope == T(0), Vec<T>{}, at_most<T>(v, Vec<T>{}));
      store(a + i, at_least<T>(v, Vec<T>{}) + slope * left);
    }
  }
}

template <class T>
void prelu_backward(const Activation& f, const T* alpha, const T* z, T* delta, T* alpha_rows, Index rows,
                    Index n, Index ld) {
  const Columns<T> columns(n);
  for (Index x = 0; alpha_rows != nullptr && x < rows; ++x) {
    T* own = alpha_rows + x * ld;
    Vec<T> total{};
    columns.each([&](Index j, Mask<T> real) {
      const Vec<T> left = at_most<T>(load(z + x * ld + j), Vec<T>{});
      const Vec<T> each = select<T>(real, load(delta + x * ld + j) * left, Vec<T>{});
      total += each;
      if (!f.shared) store(own + j, each);
    });
    if (f.shared) own[0] = sum<T>(total);
  }
  for (Index column = 0; column < ld; column += kLanes<T>) {
    const Vec<T> slope = slopes_of(f, alpha, column, n);
    for (Index i = column; i < rows * ld; i += ld) {
      store(delta + i, load(delta + i) * select<T>(load(z + i) > T(0), splat(T(1)), slope));
    }
  }
}

// The whole layer ------------------------------------------------------------------------------------------

// a = f(z). z, a: (rows, ld), n real columns; only the identity may be given a == z. alpha: that of prelu.
template <class T>
void activation_forward(const Activation& f, const T* alpha, const T* z, T* a, Index rows, Index n,
                        Index ld) {
  if (f.function == Function::identity && a == z) return;
  const auto flat = [&](const auto& function) { forward_flat<T>(function, z, a, rows * ld); };
  if (with_function<T>(f, flat)) return;
  if (f.function == Function::prelu) return prelu_forward(f, alpha, z, a, rows, n, ld);
  if (f.function == Function::per_neuron) return per_neuron_forward(f, z, a, rows, n, ld);
  if (f.function != Function::softmax) return ordered_forward<T>(f.function, z, a, rows, n, ld);
  if (n <= kLanes<T>) return softmax_narrow(z, a, rows, n, ld);
  softmax_wide(z, a, rows, n, ld);
}

// delta: dC_x/da on entry, dC_x/dz on return. prelu also writes dC_x/dalpha of each example into alpha_rows
// (rows, ld), in column 0 if there is one alpha for the layer, unless it is null.
template <class T>
void activation_backward(const Activation& f, const T* alpha, const T* z, const T* a, T* delta, T* alpha_rows,
                         Index rows, Index n, Index ld) {
  if (f.function == Function::identity) return;
  const auto flat = [&](const auto& function) { backward_flat<T>(function, z, a, delta, rows * ld); };
  if (with_function<T>(f, flat)) return;
  if (f.function == Function::prelu) return prelu_backward(f, alpha, z, delta, alpha_rows, rows, n, ld);
  if (f.function == Function::per_neuron) return per_neuron_backward(f, z, a, delta, rows, n, ld);
  if (f.function != Function::softmax) return ordered_backward<T>(f.function, z, a, delta, rows, n, ld);
  softmax_backward(a, delta, rows, n, ld);
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
