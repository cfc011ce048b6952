#include "optim/rule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

std::size_t UpdateRule::state_count() const {
  switch (kind) {
    case RuleKind::adagrad:
      return 1;
    case RuleKind::adam:
    case RuleKind::adamw:
      return 2;
    default:
      return (kind == RuleKind::rmsprop ? 1U : 0U) + (momentum == 0 ? 0U : 1U);
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

namespace {

// How much of the way has been gone, at most 1.
template <class Schedule>
double share_of(const Schedule& schedule, std::int64_t epoch) {
  return std::min(1.0, static_cast<double>(epoch) / static_cast<double>(schedule.epochs));
}

double rate(const ConstantRate& schedule, std::int64_t) { return schedule.base; }

double rate(const StepRate& schedule, std::int64_t epoch) {
  const std::int64_t steps = epoch / schedule.every_epochs;
  return schedule.base * std::pow(schedule.factor, static_cast<double>(steps));
}

double rate(const MultistepRate& schedule, std::int64_t epoch) {
  const auto begun = std::count_if(schedule.at_epochs.begin(), schedule.at_epochs.end(),
                                   [epoch](std::int64_t at) { return at <= epoch; });
  return schedule.base * std::pow(schedule.factor, static_cast<double>(begun));
}

double rate(const ExponentialRate& schedule, std::int64_t epoch) {
  return schedule.base * std::pow(schedule.factor, static_cast<double>(epoch));
}

double rate(const PolynomialRate& schedule, std::int64_t epoch) {
  return schedule.end + (schedule.base - schedule.end) * std::pow(1 - share_of(schedule, epoch), schedule.power);
}

double rate(const CosineRate& schedule, std::int64_t epoch) {
  return schedule.end +
         (schedule.base - schedule.end) * (1 + std::cos(std::numbers::pi * share_of(schedule, epoch))) / 2;
}

double rate(const PlateauRate& schedule, std::int64_t stalls) {
  return schedule.base * std::pow(schedule.factor, static_cast<double>(stalls));
}

}  // namespace

double rate_at(const RateSchedule& schedule, std::int64_t epoch, std::int64_t stalls) {
  if (const auto* plateau = std::get_if<PlateauRate>(&schedule)) return rate(*plateau, stalls);
  return std::visit([epoch](const auto& which) { return rate(which, epoch); }, schedule);
}

void Stall::take(double loss, double threshold) {
  const bool better = loss < best * (1 - threshold);
  best = better ? loss : best;
  epochs = better ? 0 : epochs + 1;
}

double WarmUp::share(std::int64_t step) const {
  if (step >= steps) return 1;
  return from + (1 - from) * static_cast<double>(step + 1) / static_cast<double>(steps);
}

}  // namespace hadal
