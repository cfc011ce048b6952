#pragma once
// Options of training plans for tests that need no device.

#include <string>

#include "plan/plan.h"

namespace hadal::testing {

// On fake devices, by SGD with momentum.
inline PlanOptions plan_options(ExchangeTopology topology, int devices, ExchangeContent content, std::int64_t batch) {
  PlanOptions options;
  options.batch = options.rows = batch;
  for (int d = 0; d < devices; ++d) options.devices.push_back({"fake:" + std::to_string(d), 1 + d});
  options.topology = topology;
  options.content = content;
  options.rule = UpdateRule::sgd(0.9, 0);
  return options;
}

}  // namespace hadal::testing
