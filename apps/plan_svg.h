#pragma once
// A drawing of a plan's step on its machine.

#include <string>

#include "plan/json.h"

namespace hadal {

// Devices, switches and links, with what each direction carries in a step and how long it is busy, as an SVG document.
std::string plan_svg(const std::string& title, const Plan& plan, const MemoryPlan& memory,
                     const Prediction& prediction);

}  // namespace hadal
