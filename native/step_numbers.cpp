#include "step_numbers.hpp"

#include <cmath>

namespace clearprop {

int slots_of(const Optimizer& o) {
  switch (o.kind) {
    case OptimizerKind::sgd: return 0;
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov: return 1;
    case OptimizerKind::rmsprop: return 1 + (o.centered ? 1 : 0) + (o.momentum > 0.0 ? 1 : 0);
    case OptimizerKind::adam: return o.amsgrad ? 3 : 2;
  }
  return 0;
}

StepNumbers numbers_of(const Optimizer& o, double eta, Index step, double scale, double decay) {
  StepNumbers s;
  s.frozen = scale == 0.0;
  s.keep = 1.0 - eta * o.weight_decay * decay * scale;
  s.rate = eta * scale;
  s.epsilon = o.epsilon;
  const double t = static_cast<double>(step);
  switch (o.kind) {
    case OptimizerKind::sgd: s.rule = UpdateRule::sgd; break;
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      s.rule = o.kind == OptimizerKind::momentum ? UpdateRule::momentum : UpdateRule::nesterov;
      s.first = o.momentum;
      s.rest1 = step > 1 ? 1.0 - o.dampening : 1.0;
      s.inside = o.inside ? -eta : 1.0;
      if (o.inside) s.rate = -scale;
      break;
    case OptimizerKind::rmsprop:
      s.rule = UpdateRule::rmsprop;
      s.centred = o.centered;
      s.has_velocity = o.momentum > 0.0;
      s.epsilon_inside = o.epsilon_inside;
      s.first = o.rho;
      s.rest1 = 1.0 - o.rho;
      s.second = o.momentum;
      break;
    case OptimizerKind::adam: {
      s.rule = o.amsgrad ? UpdateRule::adam_largest : UpdateRule::adam;
      s.first = o.beta1;
      s.second = o.beta2;
      s.rest1 = 1.0 - o.beta1;
      s.rest2 = 1.0 - o.beta2;
      const double c = std::sqrt(1.0 - std::pow(o.beta2, t));
      s.epsilon = o.before_correction ? o.epsilon : o.epsilon * c;
      s.rate = eta * scale * c / (1.0 - std::pow(o.beta1, t));
      break;
    }
  }
  return s;
}

double penalty_divisor_of(const Optimizer& o, double size) {
  if (o.penalty_divisor == 0) return 1.0;
  return o.penalty_divisor == 1 ? o.examples : size;
}

StepNumbers penalised_numbers(const Optimizer& o, double eta, Index step, double scale, double decay,
                              double size) {
  StepNumbers s = numbers_of(o, eta, step, scale, decay);
  const double divisor = penalty_divisor_of(o, size);
  s.l1 = o.l1 * decay / divisor;
  s.l2 = o.l2 * decay / divisor;
  return s;
}

}  // namespace clearprop
