// Waits: from what each step reads and writes.
//
// Two steps on different streams conflict when they touch the same elements and one writes. The earlier in the plan's
// order must be done before the later begins. A vector clock per step says what is already known to be done (through
// the stream's own order and earlier waits); of what is missing only those waits are kept that no other one implies.

#include <algorithm>

#include "plan/builder.h"

namespace hadal {

namespace {

struct Access {
  int step = 0;
  std::int64_t first = 0, end = 0;
  bool writes = false;
};

// By stream: how many of its steps (as an index into the plan, plus one) are known to be done.
using Knowledge = std::vector<int>;

void join(Knowledge& into, const Knowledge& other) {
  for (std::size_t s = 0; s < into.size(); ++s) into[s] = std::max(into[s], other[s]);
}

}  // namespace

void synchronise(Plan& plan) {
  const std::size_t streams = plan.devices.size() * kStreamKinds;
  const auto stream_of = [&](int step) { return plan.steps[step].stream_index(); };
  std::vector<std::vector<Access>> accesses(plan.tensors.size());
  std::vector<Knowledge> knows(plan.steps.size());  // after each step: including itself
  std::vector<Knowledge> last(streams, Knowledge(streams, 0));

  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
    Step& step = plan.steps[i];
    std::vector<int> latest(streams, -1);  // by stream: the last conflicting step
    const auto touch = [&](const Range& range, bool writes) {
      const std::int64_t end = range.first + range.count;
      for (const Access& access : accesses[range.tensor]) {
        if (access.first >= end || range.first >= access.end || !(writes || access.writes)) continue;
        int& slot = latest[stream_of(access.step)];
        if (access.step != i) slot = std::max(slot, access.step);
      }
      accesses[range.tensor].push_back({i, range.first, end, writes});
    };
    for (const Range& range : step.reads) touch(range, false);
    for (const Range& range : step.writes) touch(range, true);

    Knowledge known = last[stream_of(i)];
    std::vector<int> candidates;
    for (std::size_t s = 0; s < streams; ++s) {
      if (s != stream_of(i) && latest[s] >= known[s]) candidates.push_back(latest[s]);
    }
    for (const int candidate : candidates) {
      const bool implied = std::any_of(candidates.begin(), candidates.end(), [&](int other) {
        return other != candidate && knows[other][stream_of(candidate)] > candidate;
      });
      if (!implied) step.waits.push_back(candidate);
    }
    for (const int wait : step.waits) join(known, knows[wait]);
    known[stream_of(i)] = i + 1;
    knows[i] = known;
    last[stream_of(i)] = std::move(known);
  }
}

}  // namespace hadal
