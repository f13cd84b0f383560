// The optimisers' rules against their formulas in long double, down to denormal and zero second moments.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "../optimizers.hpp"

using namespace clearprop;
using namespace clearprop::CLEARPROP_ISA;
using Real = long double;

static int failures = 0;

static void check(bool good, const char* what) {
  if (!good && ++failures <= 20) std::printf("FAILED: %s\n", what);
}

// Numbers in (-1, 1).
static Real number() { return 2 * static_cast<Real>(std::rand()) / RAND_MAX - 1; }

// Aligned numbers at random.
template <class T>
struct Block {
  alignas(64) T p[192];
  Block() {
    for (T& each : p) each = static_cast<T>(number());
  }
};

struct Followed {
  Real w, slots[3];
};

// One parameter by the formulas of the optimisers, in long double.
static Followed follow(const StepNumbers& s, Real w, Real g, const Real* slots) {
  Followed f{w, {slots[0], slots[1], slots[2]}};
  g += static_cast<Real>(s.l1) * ((w > 0) - (w < 0)) + static_cast<Real>(s.l2) * w;
  const Real own = s.inside * g;
  Real step = g;
  if (s.rule == UpdateRule::momentum || s.rule == UpdateRule::nesterov) {
    f.slots[0] = s.first * slots[0] + (s.rule == UpdateRule::momentum ? s.rest1 : 1.0) * own;
    step = s.rule == UpdateRule::momentum ? f.slots[0] : own + s.first * f.slots[0];
  } else if (s.rule == UpdateRule::rmsprop) {
    Real v = f.slots[0] = s.first * slots[0] + s.rest1 * g * g;
    if (s.centred) {
      f.slots[1] = s.first * slots[1] + s.rest1 * g;
      v = std::max(v - f.slots[1] * f.slots[1], Real(0));
    }
    step = s.epsilon_inside ? g / std::sqrt(v + s.epsilon) : g / (std::sqrt(v) + s.epsilon);
    if (s.has_velocity) step = f.slots[1 + s.centred] = s.second * slots[1 + s.centred] + step;
  } else if (s.rule != UpdateRule::sgd) {
    f.slots[0] = s.first * slots[0] + s.rest1 * g;
    f.slots[1] = s.second * slots[1] + s.rest2 * g * g;
    const bool largest = s.rule == UpdateRule::adam_largest;
    if (largest) f.slots[2] = std::max(f.slots[1], slots[2]);
    step = f.slots[0] / (std::sqrt(f.slots[largest ? 2 : 1]) + s.epsilon);
  }
  if (!s.frozen) f.w = s.keep * w - s.rate * step;
  return f;
}

// size: of the numbers that an expected one is a sum of, where they may cancel.
template <class T>
static void near_number(T got, Real want, Real size, UpdateRule rule, const char* what) {
  const Real bound = 30 * std::numeric_limits<T>::epsilon() * size + 4 * Real(std::numeric_limits<T>::min());
  if (std::abs(got - want) <= bound) return;
  if (++failures <= 20) {
    std::printf("FAILED: rule %d, %s: got %.9Lg, want %.9Lg\n", static_cast<int>(rule), what, Real(got),
                want);
  }
}

template <class T>
static void test_rule(const StepNumbers& s) {
  constexpr Index kCount = 192;
  const Real tiny[] = {0, 1e-45L, 1e-39L, 1.2e-38L, 1e-30L, 1e-20L, 1e-12L, 1e-3L, 1, 1e10L};
  Block<T> w, g, m, v, largest;
  const bool second_is_v = s.rule == UpdateRule::adam || s.rule == UpdateRule::adam_largest;
  for (Index i = 0; i < kCount; ++i) {
    T& square = second_is_v ? v.p[i] : m.p[i];
    square = static_cast<T>(i < 20 ? tiny[i % 10] : std::abs(number()));
    largest.p[i] = static_cast<T>(i % 2 == 0 ? 0 : 0.5);
    if (i < 20) g.p[i] = i < 10 ? T(0) : static_cast<T>(std::sqrt(tiny[i % 10]));
    if (i < 20 && second_is_v) m.p[i] = g.p[i];
    // Not of equal size as m^2, so that the difference of RMSprop's centred rule does not cancel.
    if (s.centred) v.p[i] = i < 20 ? T(0) : static_cast<T>(0.1 * v.p[i]), square += T(0.05);
    if (i % 5 == 0) w.p[i] = T(0);
  }
  const Block<T>* const before[] = {&w, &m, &v, &largest};
  std::vector<Real> old[4];
  for (int b = 0; b < 4; ++b) old[b].assign(before[b]->p, before[b]->p + kCount);
  T* const slots[] = {m.p, v.p, largest.p};
  const Index begin = 64, end = 128;  // first the middle alone, which must leave the rest as it is
  update<T>(s, w.p, slots, g.p, begin, end);
  for (Index i = 0; i < begin; ++i) check(w.p[i] == old[0][i] && m.p[i] == old[1][i], "outside of the block");
  update<T>(s, w.p, slots, g.p, 0, begin);
  update<T>(s, w.p, slots, g.p, end, kCount);
  for (Index i = 0; i < kCount; ++i) {
    const Real start[] = {old[1][i], old[2][i], old[3][i]};
    const Followed f = follow(s, old[0][i], g.p[i], start);
    if (s.frozen) check(w.p[i] == old[0][i], "a frozen parameter");
    const Real step = std::abs(f.w - s.keep * old[0][i]);
    near_number(w.p[i], f.w, std::abs(old[0][i]) + step + s.rate * std::abs(g.p[i]), s.rule, "w");
    for (int b = 0; b < 3; ++b) {
      const Real size = std::abs(start[b]) + std::abs(f.slots[b]) + std::abs(Real(g.p[i]));
      near_number((b == 0 ? m : b == 1 ? v : largest).p[i], f.slots[b], size, s.rule, "slot");
    }
  }
}

template <class T>
static void test_rules() {
  for (const UpdateRule rule : {UpdateRule::sgd, UpdateRule::momentum, UpdateRule::nesterov,
                                UpdateRule::rmsprop, UpdateRule::adam, UpdateRule::adam_largest}) {
    for (int bits = 0; bits < 64; ++bits) {
      StepNumbers s;
      s.rule = rule;
      s.rate = s.rest2 = 0.01;
      s.first = 0.9;
      s.second = 0.99;
      s.rest1 = 0.1;
      s.inside = bits & 1 ? -0.3 : 1.0;
      s.centred = (bits & 2) != 0;
      s.has_velocity = (bits & 4) != 0;
      s.epsilon_inside = (bits & 8) != 0;
      s.frozen = (bits & 16) != 0;
      if (bits & 32) s.keep = 0.99, s.l1 = 0.01, s.l2 = 0.1;
      s.epsilon = 1e-4;
      if (rule != UpdateRule::rmsprop) s.centred = false;
      test_rule<T>(s);
    }
  }
}

int main() {
  std::srand(1);
  test_rules<float>();
  test_rules<double>();
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
