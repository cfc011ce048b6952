#include "plan/memory.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "plan/order.h"
#include "plan/pack.h"

namespace hadal {

namespace {

// First and last step of a stream that touch something.
struct StreamUse {
  int stream = 0, first = 0, last = 0;
};

struct Lifetime {
  int device = 0;
  int first = -1, last = -1;  // steps; first < 0: never touched
  bool whole_step = false;
  std::vector<StreamUse> uses;

  int stream() const { return uses[0].stream; }

  void add(int stream, std::size_t step) {  // in the order of steps
    last = static_cast<int>(step);
    if (first < 0) first = last;
    const auto use = std::find_if(uses.begin(), uses.end(), [&](const StreamUse& u) { return u.stream == stream; });
    use == uses.end() ? uses.push_back({stream, last, last}) : void(use->last = last);
  }

  bool is_done_before(const Lifetime& other, const StepOrder& order) const {
    return std::all_of(other.uses.begin(), other.uses.end(), [&](const StreamUse& later) {
      return std::all_of(uses.begin(), uses.end(),
                         [&](const StreamUse& earlier) { return order.done_before(later.first, earlier.last); });
    });
  }
};

// When tensors live, and then what single steps have to themselves. Those of one stream: from their first to their last
// step there; others until no step can touch them any more by what it has waited for. Of plans so large that this takes
// too long to know: as long as the step.
class Lifetimes {
 public:
  Lifetimes(const Plan& plan, const MemoryOptions& options) {
    constexpr std::size_t kLarge = 20'000'000;  // numbers that a StepOrder holds
    const std::size_t streams = plan.devices.size() * kStreamKinds;
    if (plan.split > 1 || (plan.devices.size() > 1 && plan.steps.size() * streams <= kLarge))
      order_ = std::make_unique<StepOrder>(plan);
    lifetimes_.resize(plan.tensors.size());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const int stream = static_cast<int>(plan.steps[i].stream_index());
      for (const auto* ranges : {&plan.steps[i].reads, &plan.steps[i].writes}) {
        for (const Range& range : *ranges) lifetimes_[static_cast<std::size_t>(range.tensor)].add(stream, i);
      }
    }
    for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
      Lifetime& lifetime = lifetimes_[t];
      lifetime.device = plan.tensors[t].device;
      const bool many = lifetime.uses.size() > 1;
      const bool remote = !lifetime.uses.empty() && lifetime.stream() / kStreamKinds != lifetime.device;
      lifetime.whole_step =
          !options.share || plan.tensors[t].kind == TensorKind::result || ((many || remote) && order_ == nullptr);
    }
    for (std::size_t i = 0; i < options.step_scratch.size(); ++i) {
      Lifetime& lifetime = lifetimes_.emplace_back();
      lifetime.device = plan.steps[i].device;
      if (options.step_scratch[i] > 0) lifetime.add(static_cast<int>(plan.steps[i].stream_index()), i);
    }
  }

  const Lifetime& operator[](std::size_t block) const { return lifetimes_[block]; }

  bool meet(std::size_t one, std::size_t other) const {
    const Lifetime &a = lifetimes_[one], &b = lifetimes_[other];
    if (a.whole_step || b.whole_step) return true;
    if (a.first <= b.last && b.first <= a.last) return true;
    if (a.uses.size() == 1 && b.uses.size() == 1 && a.stream() == b.stream()) return false;
    if (order_ == nullptr) return true;
    return !(a.first < b.first ? a.is_done_before(b, *order_) : b.is_done_before(a, *order_));
  }

 private:
  std::unique_ptr<StepOrder> order_;
  std::vector<Lifetime> lifetimes_;
};

// What lives at once, while steps run one by one.
class HighWater {
 public:
  explicit HighWater(std::size_t steps) : changes_(steps + 1) {}

  void add(const Lifetime& lifetime, std::size_t bytes) {
    if (lifetime.whole_step) {
      always_ += bytes;
    } else {
      changes_[static_cast<std::size_t>(lifetime.first)] += static_cast<std::ptrdiff_t>(bytes);
      changes_[static_cast<std::size_t>(lifetime.last) + 1] -= static_cast<std::ptrdiff_t>(bytes);
    }
  }

  // The most, and the first step at which that lives.
  std::pair<std::size_t, int> most() const {
    std::ptrdiff_t now = 0, most = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if ((now += changes_[i]) > most) most = now, at = i;
    }
    return {always_ + static_cast<std::size_t>(most), static_cast<int>(at)};
  }
  std::size_t bytes() const { return most().first; }

 private:
  std::size_t always_ = 0;
  std::vector<std::ptrdiff_t> changes_;  // by step
};

// Persistent and carried tensors, then what the kernels of a stream share.
void place_fixed(const Plan& plan, const MemoryOptions& options, MemoryPlan& memory) {
  const auto align = [&](std::size_t bytes) { return (bytes + options.alignment - 1) & ~(options.alignment - 1); };
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
  for (std::size_t s = 0; s < memory.scratch_offset.size(); ++s) {
    MemoryUse& use = memory.use[s / kStreamKinds];
    const std::size_t bytes = options.scratch.empty() ? 0 : options.scratch[s];
    memory.scratch_offset[s] = use.peak;
    use.scratch += bytes;
    use.peak += align(bytes);
    memory.scratch_bytes.push_back(bytes);
  }
}

}  // namespace

MemoryPlan plan_memory(const Plan& plan, const MemoryOptions& options) {
  HADAL_CHECK(options.step_scratch.empty() || options.step_scratch.size() == plan.steps.size());
  MemoryPlan memory;
  memory.offset.resize(plan.tensors.size());
  memory.use.resize(plan.devices.size());
  memory.scratch_offset.resize(plan.devices.size() * kStreamKinds);
  memory.step_scratch = options.step_scratch;
  memory.step_scratch_offset.resize(options.step_scratch.size());
  memory.fullest.resize(plan.devices.size());
  place_fixed(plan, options, memory);

  const Lifetimes lifetimes(plan, options);
  const std::size_t tensors = plan.tensors.size();
  std::vector<std::vector<std::size_t>> shared(plan.devices.size());  // by device: tensors, then steps' scratch
  for (std::size_t block = 0; block < tensors + options.step_scratch.size(); ++block) {
    const bool fixed = block < tensors && (plan.tensors[block].persistent() || plan.tensors[block].carried);
    if (!fixed && lifetimes[block].first >= 0) shared[lifetimes[block].device].push_back(block);
  }
  const auto bytes_of = [&](std::size_t block) {
    return block < tensors ? plan.tensors[block].bytes() : options.step_scratch[block - tensors];
  };
  for (std::size_t d = 0; d < plan.devices.size(); ++d) {
    MemoryUse& use = memory.use[d];
    HighWater gradients(plan.steps.size()), activations(plan.steps.size()), scratch(plan.steps.size()),
        all(plan.steps.size());
    std::vector<PackBlock> blocks;
    for (const std::size_t block : shared[d]) {
      const Lifetime& lifetime = lifetimes[block];
      blocks.push_back({bytes_of(block), lifetime.whole_step
                                             ? static_cast<double>(plan.steps.size())
                                             : static_cast<double>(lifetime.last - lifetime.first + 1)});
      const bool gradient = block < tensors && plan.tensors[block].kind == TensorKind::gradient;
      (block >= tensors ? scratch : gradient ? gradients : activations).add(lifetime, blocks.back().bytes);
      all.add(lifetime, blocks.back().bytes);
    }
    const auto [most, at] = all.most();
    use.gradients += gradients.bytes();
    use.activations += activations.bytes();
    use.scratch += scratch.bytes();
    use.live = use.peak + most;
    memory.fullest[d].step = at;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Lifetime& lifetime = lifetimes[shared[d][i]];
      if (!lifetime.whole_step && (lifetime.first > at || lifetime.last < at)) continue;
      if (shared[d][i] < tensors) memory.fullest[d].tensors.push_back(static_cast<int>(shared[d][i]));
    }
    const Packing packing = pack(
        blocks, [&](std::size_t a, std::size_t b) { return lifetimes.meet(shared[d][a], shared[d][b]); },
        options.alignment, most);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const std::size_t block = shared[d][i];
      auto& offset = block < tensors ? memory.offset[block] : memory.step_scratch_offset[block - tensors];
      offset = use.peak + packing.offset[i];
    }
    use.peak += packing.end;
  }
  return memory;
}

std::vector<std::vector<std::size_t>> live_bytes(const Plan& plan, const MemoryOptions& options) {
  const std::size_t steps = plan.steps.size();
  std::vector<std::vector<std::ptrdiff_t>> changes(plan.devices.size(), std::vector<std::ptrdiff_t>(steps + 1));
  std::vector<std::pair<int, int>> lives(plan.tensors.size(), {-1, -1});
  for (std::size_t i = 0; i < steps; ++i) {
    const Step& step = plan.steps[i];
    for (const auto* ranges : {&step.reads, &step.writes}) {
      for (const Range& range : *ranges) {
        auto& [first, last] = lives[static_cast<std::size_t>(range.tensor)];
        last = static_cast<int>(i);
        if (first < 0) first = last;
      }
    }
    if (options.step_scratch.empty()) continue;
    const auto scratch = static_cast<std::ptrdiff_t>(options.step_scratch[i]);
    changes[step.device][i] += scratch;
    changes[step.device][i + 1] -= scratch;
  }
  for (std::size_t s = 0; s < options.scratch.size(); ++s)
    changes[s / kStreamKinds][0] += static_cast<std::ptrdiff_t>(options.scratch[s]);
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlanTensor& tensor = plan.tensors[t];
    const auto bytes = static_cast<std::ptrdiff_t>(tensor.bytes());
    const bool always = tensor.persistent() || tensor.carried;
    if (!always && lives[t].first < 0) continue;
    changes[tensor.device][always ? 0 : static_cast<std::size_t>(lives[t].first)] += bytes;
    if (!always && tensor.kind != TensorKind::result)
      changes[tensor.device][static_cast<std::size_t>(lives[t].second) + 1] -= bytes;
  }
  std::vector<std::vector<std::size_t>> live(plan.devices.size());
  for (std::size_t d = 0; d < live.size(); ++d) {
    std::ptrdiff_t now = 0;
    for (std::size_t i = 0; i < steps; ++i) live[d].push_back(static_cast<std::size_t>(now += changes[d][i]));
  }
  return live;
}

}  // namespace hadal
