#include "plan/memory.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace hadal {

namespace {

struct Lifetime {
  int first = -1, last = -1;  // steps; first < 0: never touched
  int stream = -1;
  bool whole_step = false;

  void touch(int step, int by_stream) {
    if (first < 0) first = step, stream = by_stream;
    last = step;
    whole_step = whole_step || stream != by_stream;
  }
  bool meets(const Lifetime& other) const {
    return whole_step || other.whole_step || stream != other.stream || (first <= other.last && other.first <= last);
  }
};

std::vector<Lifetime> lifetimes_of(const Plan& plan, bool share) {
  std::vector<Lifetime> lifetimes(plan.tensors.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const int stream = static_cast<int>(step.stream_index());
    for (const auto* ranges : {&step.reads, &step.writes}) {
      for (const Range& range : *ranges) lifetimes[range.tensor].touch(static_cast<int>(i), stream);
    }
  }
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlanTensor& tensor = plan.tensors[t];
    const bool remote = lifetimes[t].stream >= 0 && lifetimes[t].stream / kStreamKinds != tensor.device;
    // What the host fills or reads, or another device's stream touches, must not be reused within the step.
    if (!share || tensor.kind == TensorKind::result || remote) lifetimes[t].whole_step = true;
  }
  return lifetimes;
}

// What lives at once, of one kind on one device: tensors of one stream by their steps, all others together.
class HighWater {
 public:
  void add(const Lifetime& lifetime, std::size_t bytes) {
    if (lifetime.whole_step) {
      always_ += bytes;
    } else {
      changes_[lifetime.stream][lifetime.first] += static_cast<std::ptrdiff_t>(bytes);
      changes_[lifetime.stream][lifetime.last + 1] -= static_cast<std::ptrdiff_t>(bytes);
    }
  }

  std::size_t bytes() const {
    std::size_t sum = always_;
    for (const auto& [stream, changes] : changes_) {
      std::ptrdiff_t now = 0, most = 0;
      for (const auto& [step, change] : changes) most = std::max(most, now += change);
      sum += static_cast<std::size_t>(most);
    }
    return sum;
  }

 private:
  std::size_t always_ = 0;
  std::map<int, std::map<int, std::ptrdiff_t>> changes_;  // by stream and step
};

}  // namespace

MemoryPlan plan_memory(const Plan& plan, const MemoryOptions& options) {
  const auto align = [&](std::size_t bytes) { return (bytes + options.alignment - 1) & ~(options.alignment - 1); };
  MemoryPlan memory;
  memory.offset.resize(plan.tensors.size());
  memory.use.resize(plan.devices.size());
  memory.scratch_offset.resize(plan.devices.size() * kStreamKinds);
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlanTensor& tensor = plan.tensors[t];
    if (!tensor.persistent()) continue;
    MemoryUse& use = memory.use[tensor.device];
    memory.offset[t] = use.peak;
    use.peak += align(tensor.bytes());
    (tensor.kind == TensorKind::state ? use.state : use.parameters) += tensor.bytes();
  }
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {  // where it is in the plans before and after
    const PlanTensor& tensor = plan.tensors[t];
    if (!tensor.carried) continue;
    MemoryUse& use = memory.use[tensor.device];
    memory.offset[t] = use.peak;
    use.peak += align(tensor.bytes());
    use.gradients += tensor.bytes();
  }
  std::vector<std::size_t> shared_from(plan.devices.size());  // what tensors share begins after the scratch
  for (std::size_t s = 0; s < memory.scratch_offset.size(); ++s) {
    MemoryUse& use = memory.use[s / kStreamKinds];
    const std::size_t bytes = options.scratch.empty() ? 0 : options.scratch[s];
    memory.scratch_offset[s] = use.peak;
    use.scratch += bytes;
    use.peak += align(bytes);
    memory.scratch_bytes.push_back(bytes);
    shared_from[s / kStreamKinds] = use.peak;
  }

  const std::vector<Lifetime> lifetimes = lifetimes_of(plan, options.share);
  std::vector<std::size_t> by_size(plan.tensors.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::erase_if(by_size, [&](std::size_t t) {
    return plan.tensors[t].persistent() || plan.tensors[t].carried || lifetimes[t].first < 0;
  });
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return plan.tensors[a].bytes() > plan.tensors[b].bytes(); });
  std::vector<std::map<bool, HighWater>> high_water(plan.devices.size());  // by whether it is a gradient
  std::vector<std::vector<std::size_t>> placed(plan.devices.size());       // by device, sorted by offset
  for (const std::size_t t : by_size) {
    const PlanTensor& tensor = plan.tensors[t];
    auto& others = placed[tensor.device];
    std::size_t offset = shared_from[tensor.device];
    for (const std::size_t other : others) {
      if (!lifetimes[t].meets(lifetimes[other])) continue;
      if (offset + align(tensor.bytes()) <= memory.offset[other]) break;
      offset = std::max(offset, memory.offset[other] + align(plan.tensors[other].bytes()));
    }
    memory.offset[t] = offset;
    const auto after =
        std::upper_bound(others.begin(), others.end(), offset,
                         [&](std::size_t value, std::size_t other) { return value < memory.offset[other]; });
    others.insert(after, t);
    MemoryUse& use = memory.use[tensor.device];
    use.peak = std::max(use.peak, offset + tensor.bytes());
    high_water[tensor.device][tensor.kind == TensorKind::gradient].add(lifetimes[t], tensor.bytes());
  }
  for (std::size_t d = 0; d < memory.use.size(); ++d) {
    memory.use[d].gradients += high_water[d][true].bytes();
    memory.use[d].activations += high_water[d][false].bytes();
  }
  return memory;
}

}  // namespace hadal
