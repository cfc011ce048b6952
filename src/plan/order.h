#pragma once
// What is certainly done before what, by the order of streams and by waits.

#include <vector>

#include "plan/plan.h"

namespace hadal {

class StepOrder {
 public:
  // Keeps a reference to `plan`.
  explicit StepOrder(const Plan& plan);

  // Whether step `earlier` is done when step `later` begins.
  bool done_before(int later, int earlier) const {
    return knows_[static_cast<std::size_t>(later)][plan_.steps[static_cast<std::size_t>(earlier)].stream_index()] >
           earlier;
  }

 private:
  const Plan& plan_;
  std::vector<std::vector<int>> knows_;  // by step and stream: the last step that is done when it begins, plus one
};

}  // namespace hadal
