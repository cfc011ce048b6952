#pragma once
// A bound plan as a person reads it.

#include <string>

#include "plan/json.h"
#include "runner/bound_plan.h"

namespace hadal {

struct PlanView {
  const Plan& plan;
  const Network& network;
  const MemoryPlan& memory;
  const Prediction& prediction;
  std::string backend;
  int threads = 1;
};

// Layers, devices with their memory, links, and what bounds the step. `layers`: list every layer.
std::string plan_table(const PlanView& view, bool layers);

// What each device holds when it is fullest.
std::string memory_rows(const PlanView& view);

}  // namespace hadal
