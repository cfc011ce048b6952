#include "optim/rule.h"

#include <cmath>

namespace hadal {

double rate_at(const RateSchedule& schedule, std::int64_t epoch) {
  if (const auto* step = std::get_if<StepRate>(&schedule)) {
    const std::int64_t drops = epoch / step->every_epochs;
    return step->base * std::pow(step->factor, static_cast<double>(drops));
  }
  return std::get<ConstantRate>(schedule).base;
}

}  // namespace hadal
