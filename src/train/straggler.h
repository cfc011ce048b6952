#pragma once
// A device that makes the others wait.

#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "runner/local_runner.h"

namespace hadal {

struct Straggler {
  int device = 0;
  double slowdown = 1;      // its kernels' time for its work, against the median of the other devices
  double step_seconds = 0;  // what a step would be shorter by if it were as fast as they are
};

// The slowest device of a run, where its kernels take at least 1.5 times as long for a row, or of a split model for an
// operation, as the others' median. None
// with fewer than two devices that work, or fewer than 20 steps.
std::optional<Straggler> find_straggler(const Plan& plan, const std::vector<DeviceUse>& uses, std::int64_t steps);

// "fake:2 is slow: its kernels take 2.0 times as long as the other devices'; at their speed a step would take 3.1 ms
// less".
std::string describe(const Straggler& straggler, const Plan& plan);

}  // namespace hadal
