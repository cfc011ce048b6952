#include "optim/rule.h"

#include <cmath>

namespace hadal {

double rate_at(const RateSchedule& schedule, std::int64_t epoch) {
  if (const auto* step = std::get_if<StepRate>(&schedule)) {
    return step->base * std::pow(step->factor, static_cast<double>(epoch / step->every_epochs));
  }
  return std::get<ConstantRate>(schedule).base;
}

}  // namespace hadal
