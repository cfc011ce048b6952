#pragma once
// What a training plan computes again in backward so that it fits into the memory of its devices.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "device/machine.h"
#include "plan/memory.h"
#include "plan/plan.h"

namespace hadal {

struct FitOptions {
  std::vector<std::size_t> limit;  // by device: bytes, 0: none
  bool recompute = true;           // else nothing is computed again
  bool find_least = true;          // where the limits cannot be kept to: look for the least that can be reached
  bool all_cheap = false;          // first all that takes no product and no copy, then what is needed
  std::function<MemoryOptions(const Plan&)> memory;  // of any plan of the network
};

struct Fitting {
  bool fits = true;
  std::vector<std::string> recomputed;  // names of values, in the order of forward
  std::vector<std::size_t> peak;        // by device; where it does not fit the least that was looked for and found
};

// Builds the training plan of `options` and sets `options.recompute` to what has to be computed again. Values are
// chosen one by one: the one that lowers what is above the limits the most for its time on `machine`; last, those that
// others have made needless are given up. Where that leads nowhere, the steps that need the most count most. The same
// for the same arguments.
Fitting fit(const Network& network, PlanOptions& options, const Machine& machine, const FitOptions& fit_options);

// What steps that are done again take on `machine`, one after the other on each device; the device with the most.
double seconds_again(const Plan& plan, const Machine& machine);

}  // namespace hadal
