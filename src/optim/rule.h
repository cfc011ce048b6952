#pragma once
// Update rules and rate schedules, as data and as pure functions of the position in training.

#include <cstdint>
#include <variant>

namespace hadal {

struct ConstantRate {
  double base = 0;
};

// base * factor^(epoch / every_epochs), the quotient rounded down; epochs count from 0.
struct StepRate {
  double base = 0;
  std::int64_t every_epochs = 1;
  double factor = 0.1;
};

using RateSchedule = std::variant<ConstantRate, StepRate>;

// The rate of all steps of an epoch.
double rate_at(const RateSchedule& schedule, std::int64_t epoch);

// v = momentum v + g + weight_decay w; w -= rate v (nn/op.h, SgdUpdate).
struct SgdRule {
  RateSchedule rate;
  double momentum = 0, weight_decay = 0;
};

}  // namespace hadal
