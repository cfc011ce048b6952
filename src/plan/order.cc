#include "plan/order.h"

#include <algorithm>

namespace hadal {

StepOrder::StepOrder(const Plan& plan) : plan_(plan) {
  const std::size_t streams = plan.devices.size() * kStreamKinds;
  std::vector<int> last(streams, -1);  // by stream
  const auto learn = [&](std::vector<int>& known, int step) {
    const auto& others = knows_[static_cast<std::size_t>(step)];
    for (std::size_t s = 0; s < streams; ++s) known[s] = std::max(known[s], others[s]);
    int& own = known[plan.steps[static_cast<std::size_t>(step)].stream_index()];
    own = std::max(own, step + 1);
  };
  for (const Step& step : plan.steps) {
    std::vector<int> known(streams);
    int& before = last[step.stream_index()];
    if (before >= 0) learn(known, before);
    for (const auto* waits : {&step.waits, &step.room_waits}) {
      for (const int wait : *waits) learn(known, wait);
    }
    before = static_cast<int>(knows_.size());
    knows_.push_back(std::move(known));
  }
}

}  // namespace hadal
