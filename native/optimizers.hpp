// How parameters follow their gradient: one rule per optimiser, a vector of parameters at a time.
//
// A rule is applied to a whole block of parameters, or, for SGD and Adam, to each tile of a weight gradient
// while it is still in registers, so that the gradient never goes to memory.
#pragma once

#include "simd.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

// The numbers of one step for one block of parameters, all lanes alike.
template <class T>
struct Constants {
  Vec<T> keep;           // 1 - decoupled decay: the parameters are multiplied by it first
  Vec<T> rate;           // what the displacement is multiplied by, scale included
  Vec<T> inside;         // eta where it stands inside the velocity, else 1
  Vec<T> first, second;  // momentum, rho, beta1; beta2
  Vec<T> rest1, rest2;   // 1 - beta1, 1 - beta2; for momentum 1 - dampening
  Vec<T> epsilon;
  Vec<T> l1, l2;
  bool frozen, decays, l1_active, l2_active;

  explicit Constants(const StepNumbers& s)
      : keep(splat(T(s.keep))),
        rate(splat(T(s.rate))),
        inside(splat(T(s.inside))),
        first(splat(T(s.first))),
        second(splat(T(s.second))),
        rest1(splat(T(s.rest1))),
        rest2(splat(T(s.rest2))),
        epsilon(splat(positive(s.epsilon))),
        l1(splat(T(s.l1))),
        l2(splat(T(s.l2))),
        frozen(s.frozen),
        decays(s.keep != 1.0),
        l1_active(s.l1 != 0.0),
        l2_active(s.l2 != 0.0) {}

  // An epsilon of zero, or one that T cannot hold, would make NaN of the padding, whose gradient is zero.
  static T positive(double epsilon) {
    return T(epsilon) > std::numeric_limits<T>::min() ? T(epsilon) : std::numeric_limits<T>::min();
  }

  bool plain() const { return !(frozen || decays || l1_active || l2_active); }

  CLEARPROP_INLINE Vec<T> penalised(Vec<T> g, Vec<T> w) const {
    if (l1_active) {
      const Vec<T> sign = select<T>(w > Vec<T>{}, splat(T(1)), select<T>(w < Vec<T>{}, splat(T(-1)), w));
      g = fused<T>(l1, sign, g);
    }
    if (l2_active) g = fused<T>(l2, w, g);
    return g;
  }
};

// m / (sqrt(v) + epsilon). In float32 with AVX-512 by the approximations of 1/sqrt and 1/x and one Newton
// step each, to about two units in the last place: on many processors the division unit takes four times as long.
template <class T>
CLEARPROP_INLINE Vec<T> over_root(Vec<T> m, Vec<T> v, Vec<T> epsilon) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    // Below the smallest normal number the root is below 1e-19, and 1/sqrt(0) would be infinite.
    // An infinite v counts as the largest number: 1/sqrt(inf) is 0, and 0 * inf NaN.
    const Vec<T> finite = at_most<T>(v, splat(std::numeric_limits<T>::max()));
    const Vec<T> positive = at_least<T>(finite, splat(std::numeric_limits<T>::min()));
    const Vec<T> y = (Vec<T>)_mm512_rsqrt14_ps((__m512)positive);
    const Vec<T> root = positive * y;
    const Vec<T> better = fused<T>(T(0.5) * y, fused<T>(-root, root, positive), root);
    const Vec<T> divisor = better + epsilon;
    const Vec<T> x = (Vec<T>)_mm512_rcp14_ps((__m512)divisor);
    const Vec<T> inverse = fused<T>(x, fused<T>(-divisor, x, splat(T(1))), x);
    return m * inverse;
  }
#endif
  return m / (square_root<T>(v) + epsilon);
}

template <class T>
struct SGDRule {
  static constexpr int kSlots = 0;
  CLEARPROP_INLINE static Vec<T> move(const Constants<T>& c, Vec<T> w, Vec<T> g, T* const*, Index) {
    return fused<T>(-c.rate, g, w);
  }
};

template <class T>
struct MomentumRule {  // v <- mu v + (1 - dampening) inside g; w <- w - rate v
  static constexpr int kSlots = 1;
  CLEARPROP_INLINE static Vec<T> move(const Constants<T>& c, Vec<T> w, Vec<T> g, T* const* slots, Index at) {
    const Vec<T> v = fused<T>(c.first, load(slots[0] + at), c.rest1 * (c.inside * g));
    store(slots[0] + at, v);
    return fused<T>(-c.rate, v, w);
  }
};

template <class T>
struct NesterovRule {  // v <- mu v + inside g; w <- w - rate (inside g + mu v)
  static constexpr int kSlots = 1;
  CLEARPROP_INLINE static Vec<T> move(const Constants<T>& c, Vec<T> w, Vec<T> g, T* const* slots, Index at) {
    const Vec<T> own = c.inside * g;
    const Vec<T> v = fused<T>(c.first, load(slots[0] + at), own);
    store(slots[0] + at, v);
    return fused<T>(-c.rate, fused<T>(c.first, v, own), w);
  }
};

template <class T, bool kCentred, bool kMomentum, bool kInside>
struct RMSpropRule {  // slots: v, then m where centred, then the velocity where there is momentum
  static constexpr int kSlots = 1 + kCentred + kMomentum;
  CLEARPROP_INLINE static Vec<T> move(const Constants<T>& c, Vec<T> w, Vec<T> g, T* const* slots, Index at) {
    Vec<T> v = fused<T>(c.first, load(slots[0] + at), c.rest1 * (g * g));
    store(slots[0] + at, v);
    if constexpr (kCentred) {
      const Vec<T> m = fused<T>(c.first, load(slots[1] + at), c.rest1 * g);
      store(slots[1] + at, m);
      v = at_least<T>(fused<T>(-m, m, v), Vec<T>{});
    }
    Vec<T> step = kInside ? g / square_root<T>(v + c.epsilon) : g / (square_root<T>(v) + c.epsilon);
    if constexpr (kMomentum) {
      step = fused<T>(c.second, load(slots[1 + kCentred] + at), step);
      store(slots[1 + kCentred] + at, step);
    }
    return fused<T>(-c.rate, step, w);
  }
};

template <class T, bool kLargest>
struct AdamRule {  // slots: m, v, and the largest v of amsgrad
  static constexpr int kSlots = 2 + kLargest;
  CLEARPROP_INLINE static Vec<T> move(const Constants<T>& c, Vec<T> w, Vec<T> g, T* const* slots, Index at) {
    const Vec<T> m = fused<T>(c.first, load(slots[0] + at), c.rest1 * g);
    Vec<T> v = fused<T>(c.second, load(slots[1] + at), c.rest2 * (g * g));
    store(slots[0] + at, m);
    store(slots[1] + at, v);
    if constexpr (kLargest) {
      v = at_least<T>(v, load(slots[2] + at));
      store(slots[2] + at, v);
    }
    return fused<T>(-c.rate, over_root<T>(m, v, c.epsilon), w);
  }
};

// The new parameters of one vector: penalty, decoupled decay, then the rule. kPlain: there is neither penalty
// nor decay, and nothing is frozen.
template <class T, class Rule, bool kPlain>
CLEARPROP_INLINE void apply(const Constants<T>& c, T* w, T* const* slots, Index at, Vec<T> g) {
  const Vec<T> old = load(w + at);
  if constexpr (kPlain) {
    store(w + at, Rule::move(c, old, g, slots, at));
    return;
  }
  g = c.penalised(g, old);
  const Vec<T> moved = Rule::move(c, c.decays ? old * c.keep : old, g, slots, at);
  if (!c.frozen) store(w + at, moved);
}

// A tile of the gradient that is used as it comes (see gradient_product). The constants lie in it by value: a
// tile works on its own copy, which no store to the parameters can change.
template <class T, class Rule, bool kPlain>
struct UseAtOnce {
  Constants<T> of_weights, of_biases;
  T* w;
  T* slots[3];
  CLEARPROP_INLINE void weights(Index at, Vec<T> g) const {
    apply<T, Rule, kPlain>(of_weights, w, slots, at, g);
  }
  CLEARPROP_INLINE void biases(Index at, Vec<T> g) const {
    apply<T, Rule, false>(of_biases, w, slots, at, g);
  }
  CLEARPROP_INLINE void expect(Index at) const {
    __builtin_prefetch(w + at, 1);
    for (int s = 0; s < Rule::kSlots; ++s) __builtin_prefetch(slots[s] + at, 1);
  }
};

// Plain gradient descent, w <- w - rate g: few numbers, so that a small tile is not kept waiting for them.
template <class T>
struct Descend {
  Vec<T> rate, bias_rate;
  T* w;
  CLEARPROP_INLINE void weights(Index at, Vec<T> g) const { store(w + at, fused<T>(-rate, g, load(w + at))); }
  CLEARPROP_INLINE void biases(Index at, Vec<T> g) const {
    store(w + at, fused<T>(-bias_rate, g, load(w + at)));
  }
  CLEARPROP_INLINE void expect(Index at) const { __builtin_prefetch(w + at, 1); }
};

// Whether a rule is plain gradient descent, which leaves a parameter as it is where the gradient is zero.
inline bool descends(const StepNumbers& s) {
  return s.rule == UpdateRule::sgd && !s.frozen && s.keep == 1.0 && s.l1 == 0.0 && s.l2 == 0.0;
}

template <class T, class Rule>
void update_block(const Constants<T>& c, T* w, T* const* slots, const T* gradient, Index begin, Index end) {
  for (Index at = begin; at < end; at += kLanes<T>)
    apply<T, Rule, false>(c, w, slots, at, load(gradient + at));
}

// Parameters [begin, end), whole vectors, from their gradient in memory.
template <class T>
void update(const StepNumbers& s, T* w, T* const* slots, const T* gradient, Index begin, Index end) {
  const Constants<T> c(s);
  switch (s.rule) {
    case UpdateRule::sgd: return update_block<T, SGDRule<T>>(c, w, slots, gradient, begin, end);
    case UpdateRule::momentum: return update_block<T, MomentumRule<T>>(c, w, slots, gradient, begin, end);
    case UpdateRule::nesterov: return update_block<T, NesterovRule<T>>(c, w, slots, gradient, begin, end);
    case UpdateRule::adam: return update_block<T, AdamRule<T, false>>(c, w, slots, gradient, begin, end);
    case UpdateRule::adam_largest:
      return update_block<T, AdamRule<T, true>>(c, w, slots, gradient, begin, end);
    case UpdateRule::rmsprop: break;
  }
  using Update = void (*)(const Constants<T>&, T*, T* const*, const T*, Index, Index);
  static constexpr Update kRules[2][2][2] = {{{update_block<T, RMSpropRule<T, false, false, false>>,
                                               update_block<T, RMSpropRule<T, false, false, true>>},
                                              {update_block<T, RMSpropRule<T, false, true, false>>,
                                               update_block<T, RMSpropRule<T, false, true, true>>}},
                                             {{update_block<T, RMSpropRule<T, true, false, false>>,
                                               update_block<T, RMSpropRule<T, true, false, true>>},
                                              {update_block<T, RMSpropRule<T, true, true, false>>,
                                               update_block<T, RMSpropRule<T, true, true, true>>}}};
  kRules[s.centred][s.has_velocity][s.epsilon_inside](c, w, slots, gradient, begin, end);
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
