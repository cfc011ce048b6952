#pragma once
// Values that backward computes again rather than that they are kept since forward (Chen et al. 2016, "Training deep
// nets with sublinear memory cost"). The same operators on the same inputs: the result is the same to the bit.

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace hadal {

// What is kept from forward to backward and could be computed again: all tensors of one name, of every device and pass.
struct KeptValue {
  std::string name;
  int layer = -1;         // that computes it
  std::size_t bytes = 0;  // of the largest of them
  bool cheap = true;      // by neither products nor convolutions, nor by copies from the host or over links
};

// Of a training plan, in the order in which forward computes them.
std::vector<KeptValue> kept_values(const Plan& plan);

// Changes the steps of a plan, which have no waits yet: before backward first reads a tensor of one of these names, the
// steps that wrote it are done again (Step::again), into a tensor of its own. What they read and is no longer kept is
// computed again too. Names of what is not among kept_values() do nothing.
void compute_again(Plan& plan, const std::set<std::string>& names);

}  // namespace hadal
