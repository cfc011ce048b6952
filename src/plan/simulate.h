#pragma once
// How long a step of a plan would take on described devices. Needs none of them: the times come from the description.

#include <vector>

#include "device/device.h"
#include "plan/plan.h"

namespace hadal {

struct DeviceSpeed {
  double flops_per_second = 50e9;         // of matrix products and convolutions
  double memory_bytes_per_second = 10e9;  // of everything else: what a kernel reads and writes
  double step_seconds = 1e-6;             // of every step, however small
};

struct Simulation {
  double step_seconds = 0;
  std::vector<double> compute_seconds;  // by device: busy with kernels
  double exchange_seconds = 0;          // what the step would be shorter by if transfers took no time

  const char* bound_by() const { return exchange_seconds > step_seconds / 2 ? "exchange" : "compute"; }
};

// Each stream does its steps in the plan's order, each as soon as its waits are met.
Simulation simulate(const Plan& plan, const DeviceSpeed& device, const LinkSpeed& link);

}  // namespace hadal
