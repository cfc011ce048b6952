// Waits that let memory be used again: for plans whose devices bring each other much of what they compute.
//
// A copy from another device, or of what others read, frees its tensor only where it is known to be done. A step that
// is the first of its stream to touch a tensor therefore waits for all that was done, some layers before, with tensors
// of that device. What devices do in one layer and the one before it stays free of such waits, so that copies go on
// beside kernels.

#include <algorithm>
#include <map>

#include "plan/builder.h"

namespace hadal {

namespace {

constexpr int kLayersBetween = 1;
constexpr std::size_t kMost = 20'000'000;  // numbers that are kept: larger plans do without

struct TensorUse {
  int first = -1, last = -1;
  std::map<std::size_t, std::pair<int, int>> steps;  // by stream: first and last
  bool waits = true;                                 // it is neither persistent nor exchanged between groups
};

// By step: how often the order has gone from layer to layer; updates belong to where they stand.
std::vector<int> visits(const Plan& plan) {
  std::vector<int> visit;
  int now = 0, layer = -1;
  for (const Step& step : plan.steps) {
    const auto* compute = std::get_if<Compute>(&step.body);
    const bool updates = compute != nullptr && (std::holds_alternative<Update>(compute->op) ||
                                                std::holds_alternative<FullyConnectedUpdate>(compute->op));
    if (!updates && step.layer != layer) ++now, layer = step.layer;
    visit.push_back(now);
  }
  return visit;
}

std::vector<TensorUse> uses_of(const Plan& plan) {
  std::vector<TensorUse> uses(plan.tensors.size());
  for (std::size_t t = 0; t < uses.size(); ++t) {
    const PlanTensor& tensor = plan.tensors[t];
    uses[t].waits = !tensor.persistent() && !tensor.carried && tensor.kind != TensorKind::result;
  }
  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
    const Step& step = plan.steps[i];
    for (const auto* ranges : {&step.reads, &step.writes}) {
      for (const Range& range : *ranges) {
        TensorUse& use = uses[range.tensor];
        use.last = i;
        if (use.first < 0) use.first = i;
        use.steps.try_emplace(step.stream_index(), i, i).first->second.second = i;
        if (step.stream != StreamKind::compute && step.stream != StreamKind::transfer) use.waits = false;
      }
    }
  }
  return uses;
}

}  // namespace

void wait_for_room(Plan& plan) {
  const std::size_t streams = plan.devices.size() * kStreamKinds;
  if (plan.split == 1 || (plan.tensors.size() + plan.steps.size()) * streams > kMost) return;
  const std::vector<int> visit = visits(plan);
  const std::vector<TensorUse> uses = uses_of(plan);
  // By device, in the order in which tensors end: the visit, and by stream the last step, plus one, of all so far.
  std::vector<std::vector<std::pair<int, std::vector<int>>>> ended(plan.devices.size());
  std::vector<std::vector<std::size_t>> begins(plan.steps.size());  // by step: tensors that its stream first touches
  std::vector<std::vector<std::size_t>> ends(plan.steps.size());
  for (std::size_t t = 0; t < uses.size(); ++t) {
    if (!uses[t].waits || uses[t].first < 0) continue;
    ends[static_cast<std::size_t>(uses[t].last)].push_back(t);
    for (const auto& [stream, steps] : uses[t].steps) begins[static_cast<std::size_t>(steps.first)].push_back(t);
  }
  for (std::size_t i = 0; i < ends.size(); ++i) {
    for (const std::size_t t : ends[i]) {
      auto& of_device = ended[plan.tensors[t].device];
      std::vector<int> most = of_device.empty() ? std::vector<int>(streams) : of_device.back().second;
      for (const auto& [stream, steps] : uses[t].steps) most[stream] = std::max(most[stream], steps.second + 1);
      of_device.emplace_back(visit[i], std::move(most));
    }
  }
  std::vector<std::vector<int>> knows(plan.steps.size());  // after each step: including itself
  std::vector<std::vector<int>> last(streams, std::vector<int>(streams));
  const auto join = [](std::vector<int>& into, const std::vector<int>& other) {
    for (std::size_t s = 0; s < into.size(); ++s) into[s] = std::max(into[s], other[s]);
  };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    Step& step = plan.steps[i];
    const std::size_t own = step.stream_index();
    std::vector<int> known = last[own];
    for (const int wait : step.waits) join(known, knows[static_cast<std::size_t>(wait)]);
    std::vector<int> wanted(streams);
    for (const std::size_t t : begins[i]) {
      const auto& of_device = ended[plan.tensors[t].device];
      const int before = visit[static_cast<std::size_t>(uses[t].first)] - kLayersBetween;
      const auto past = std::partition_point(of_device.begin(), of_device.end(),
                                             [&](const auto& entry) { return entry.first < before; });
      if (past != of_device.begin()) join(wanted, std::prev(past)->second);
    }
    std::vector<int> candidates;
    for (std::size_t s = 0; s < streams; ++s) {
      if (s != own && wanted[s] > known[s]) candidates.push_back(wanted[s] - 1);
    }
    for (const int candidate : candidates) {
      const std::size_t stream = plan.steps[static_cast<std::size_t>(candidate)].stream_index();
      const bool implied = std::any_of(candidates.begin(), candidates.end(), [&](int other) {
        return other != candidate && knows[static_cast<std::size_t>(other)][stream] > candidate;
      });
      if (!implied) step.room_waits.push_back(candidate);
    }
    for (const int wait : step.room_waits) join(known, knows[static_cast<std::size_t>(wait)]);
    known[own] = static_cast<int>(i) + 1;
    last[own] = known;
    knows[i] = std::move(known);
  }
}

}  // namespace hadal
