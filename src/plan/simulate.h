#pragma once
// How long a step of a plan would take on a described machine, and what its links would carry. Needs no device.

#include <vector>

#include "device/machine.h"
#include "plan/plan.h"

namespace hadal {

struct Simulation {
  double step_seconds = 0;
  std::vector<double> compute_seconds;  // by device: busy with kernels
  double exchange_seconds = 0;          // what the step would be shorter by if copies between devices took no time
  double input_seconds = 0;             // what it would be shorter by if loads took none
  std::vector<std::size_t> port_bytes;  // by port of the machine
  std::vector<double> port_seconds;     // by port: what its bytes take at its full rate
  std::vector<double> done_seconds;     // by step of the plan

  const char* bound_by() const;
};

// Each stream does its steps in the plan's order, each as soon as its waits are met; kernels take what cost.h says,
// copies flow as device/machine.h says. Device d of the plan is device d of the machine.
Simulation simulate(const Plan& plan, const Machine& machine);

// Simulation::step_seconds alone, in a third of the time.
double step_seconds(const Plan& plan, const Machine& machine);

// What a step's copies bring to each port, loads included.
std::vector<std::size_t> port_bytes(const Plan& plan, const Machine& machine);

}  // namespace hadal
