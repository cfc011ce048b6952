#include "plan/memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include "plan/order.h"

namespace hadal {

namespace {

struct Lifetime {
  int first = -1, last = -1;  // steps; first < 0: never touched
  int stream = -1;            // of the first step
  bool whole_step = false;
  bool ordered = false;                     // by what steps wait for
  std::map<int, std::pair<int, int>> uses;  // by stream: first and last step

  bool is_done_before(const Lifetime& other, const StepOrder& order) const {
    return std::all_of(other.uses.begin(), other.uses.end(), [&](const auto& later) {
      return std::all_of(uses.begin(), uses.end(), [&](const auto& earlier) {
        return order.done_before(later.second.first, earlier.second.second);
      });
    });
  }
};

// When tensors live. Those of one stream: from their first to their last step there. Where the partitions of a model
// bring each other much of what they compute, what such copies and kernels touch lives until no step can touch it any
// more by what it has waited for. Others live as long as the step.
class Lifetimes {
 public:
  Lifetimes(const Plan& plan, bool share) : order_(plan.split > 1 ? std::make_unique<StepOrder>(plan) : nullptr) {
    std::vector<std::map<int, std::pair<int, int>>> uses(plan.tensors.size());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const int stream = static_cast<int>(plan.steps[i].stream_index()), step = static_cast<int>(i);
      for (const auto* ranges : {&plan.steps[i].reads, &plan.steps[i].writes}) {
        for (const Range& range : *ranges)
          uses[range.tensor].try_emplace(stream, step, step).first->second.second = step;
      }
    }
    for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
      lifetimes_.push_back(lifetime_of(plan.tensors[t], uses[t], share));
    }
  }

  const Lifetime& operator[](std::size_t tensor) const { return lifetimes_[tensor]; }

  bool meet(std::size_t one, std::size_t other) const {
    const Lifetime &a = lifetimes_[one], &b = lifetimes_[other];
    if (a.whole_step || b.whole_step) return true;
    if (!a.ordered && !b.ordered) return a.stream != b.stream || (a.first <= b.last && b.first <= a.last);
    return !(a.is_done_before(b, *order_) || b.is_done_before(a, *order_));
  }

 private:
  Lifetime lifetime_of(const PlanTensor& tensor, const std::map<int, std::pair<int, int>>& uses, bool share) const {
    Lifetime lifetime;
    for (const auto& [stream, steps] : uses) {
      if (lifetime.first < 0 || steps.first < lifetime.first) lifetime.first = steps.first, lifetime.stream = stream;
      lifetime.last = std::max(lifetime.last, steps.second);
    }
    if (uses.empty()) return lifetime;
    const auto kind = [](int stream) { return static_cast<StreamKind>(stream % kStreamKinds); };
    const bool brought =
        std::any_of(uses.begin(), uses.end(), [&](const auto& use) { return kind(use.first) == StreamKind::transfer; });
    const bool exchanged = std::any_of(uses.begin(), uses.end(), [&](const auto& use) {
      return kind(use.first) != StreamKind::transfer && kind(use.first) != StreamKind::compute;
    });
    // What the host fills or reads, or another device's stream touches, must not be reused within the step.
    const bool remote = lifetime.stream / kStreamKinds != tensor.device;
    lifetime.ordered = order_ && brought && !exchanged;
    lifetime.uses = uses;
    lifetime.whole_step =
        !share || tensor.kind == TensorKind::result || (!lifetime.ordered && (remote || uses.size() > 1));
    if (lifetime.ordered)
      lifetime.stream = tensor.device * kStreamKinds;  // counted with what that device's kernels touch
    return lifetime;
  }

  std::unique_ptr<StepOrder> order_;
  std::vector<Lifetime> lifetimes_;
};

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

  const Lifetimes lifetimes(plan, options.share);
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
      if (!lifetimes.meet(t, other)) continue;
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
