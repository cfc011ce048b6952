#pragma once
// Whether a plan fits into the memory that its machine says it has.

#include <cstddef>
#include <string>
#include <vector>

#include "device/machine.h"
#include "plan/memory.h"
#include "plan/plan.h"

namespace hadal {

// A device whose memory is too small, with what all devices of that memory need there, and what takes the most of the
// device: the parameters, gradients or activations of a layer.
struct Misfit {
  struct User {
    std::string name;  // "fc6 weights and state"
    std::size_t bytes = 0;
  };
  int device = 0;
  double has = 0, needs = 0;  // bytes
  std::vector<User> largest;  // at most three
};

bool fits(const MemoryPlan& memory, const Machine& machine);

// One of each memory that is too small, in order.
std::vector<Misfit> misfits(const Plan& plan, const Network& network, const MemoryPlan& memory, const Machine& machine);

// "card0 has 3 GB of memory, and the plan needs 5.1 GB there; largest: fc6 weights and state 1.8 GB, ..."
std::string describe(const Misfit& misfit, const Plan& plan);

// "5.1 GB": three digits.
std::string bytes_in_words(double bytes);

}  // namespace hadal
