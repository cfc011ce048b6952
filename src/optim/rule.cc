#include "optim/rule.h"

#include <cmath>

namespace hadal {

const char* to_string(RuleKind kind) {
  switch (kind) {
    case RuleKind::sgd:
      return "sgd";
    case RuleKind::nesterov:
      return "nesterov";
    case RuleKind::adagrad:
      return "adagrad";
    case RuleKind::rmsprop:
      return "rmsprop";
    case RuleKind::adam:
      return "adam";
    case RuleKind::adamw:
      return "adamw";
  }
  return "?";
}

std::vector<std::string> UpdateRule::states() const {
  switch (kind) {
    case RuleKind::adagrad:
      return {"squares"};
    case RuleKind::adam:
    case RuleKind::adamw:
      return {"mean", "squares"};
    case RuleKind::rmsprop:
      if (momentum == 0) return {"squares"};
      return {"squares", "momentum"};
    default:
      if (momentum == 0) return {};
      return {"momentum"};
  }
}

const std::vector<std::string>& state_names() {
  static const std::vector<std::string> kNames{"momentum", "mean", "squares"};
  return kNames;
}

BiasCorrection bias_correction(const UpdateRule& rule, std::uint64_t t) {
  if (rule.kind != RuleKind::adam && rule.kind != RuleKind::adamw) return {};
  const auto updates = static_cast<double>(t);
  return {1 / (1 - std::pow(rule.beta1, updates)), 1 / std::sqrt(1 - std::pow(rule.beta2, updates))};
}

double rate_at(const RateSchedule& schedule, std::int64_t epoch) {
  if (const auto* step = std::get_if<StepRate>(&schedule)) {
    const std::int64_t drops = epoch / step->every_epochs;
    return step->base * std::pow(step->factor, static_cast<double>(drops));
  }
  return std::get<ConstantRate>(schedule).base;
}

}  // namespace hadal
