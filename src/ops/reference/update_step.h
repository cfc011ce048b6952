#pragma once
// The update rules (optim/rule.h) on one element. Rounded after each operation, in the order of the formulas: that is
// the result, not an approximation of one.

#include <array>
#include <cmath>

#include "base/error.h"
#include "optim/rule.h"

namespace hadal::reference {

template <class Real>
class UpdateStep {
 public:
  // Of the update after `updates` others, by `rate`.
  UpdateStep(const UpdateRule& rule, double rate, std::uint64_t updates)
      : kind_(rule.kind),
        rate_(static_cast<Real>(rate * rule.rate_mult * bias_correction(rule, updates + 1).rate)),
        root_(static_cast<Real>(bias_correction(rule, updates + 1).root)),
        momentum_(static_cast<Real>(rule.momentum)),
        decay_(static_cast<Real>(rule.weight_decay)),
        shrink_(static_cast<Real>(1 - rate * rule.rate_mult * rule.weight_decay)),
        beta1_(static_cast<Real>(rule.beta1)),
        rest1_(static_cast<Real>(1 - rule.beta1)),
        beta2_(static_cast<Real>(rule.beta2)),
        rest2_(static_cast<Real>(1 - rule.beta2)),
        epsilon_(static_cast<Real>(rule.epsilon)) {}

  // states: a pointer for each of rule.states(). Throws NotFinite before anything is stored.
  void operator()(Real gradient, Real& weight, const std::array<Real*, 2>& states) const {
    if (!std::isfinite(gradient)) throw NotFinite("the gradient is not finite");
    Real g = kind_ == RuleKind::adamw ? gradient : gradient + decay_ * weight;
    switch (kind_) {
      case RuleKind::sgd:
      case RuleKind::nesterov:
        if (states[0] != nullptr) {
          Real& v = *states[0];
          v = momentum_ * v + g;
          g = kind_ == RuleKind::nesterov ? g + momentum_ * v : v;
        }
        weight = weight - rate_ * g;
        return;
      case RuleKind::adagrad: {
        Real& s = *states[0];
        s = s + g * g;
        weight = weight - rate_ * (g / (std::sqrt(s) + epsilon_));
        return;
      }
      case RuleKind::rmsprop: {
        Real& s = *states[0];
        s = beta2_ * s + rest2_ * (g * g);
        Real u = g / (std::sqrt(s) + epsilon_);
        if (states[1] != nullptr) u = *states[1] = momentum_ * *states[1] + u;
        weight = weight - rate_ * u;
        return;
      }
      case RuleKind::adam:
      case RuleKind::adamw: {
        if (kind_ == RuleKind::adamw) weight = shrink_ * weight;
        Real &m = *states[0], &s = *states[1];
        m = beta1_ * m + rest1_ * g;
        s = beta2_ * s + rest2_ * (g * g);
        weight = weight - rate_ * (m / (std::sqrt(s) * root_ + epsilon_));
        return;
      }
    }
  }

 private:
  RuleKind kind_;
  Real rate_, root_, momentum_, decay_, shrink_, beta1_, rest1_, beta2_, rest2_, epsilon_;
};

}  // namespace hadal::reference
