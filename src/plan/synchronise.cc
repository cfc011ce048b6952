// Waits: from what each step reads and writes.
//
// Two steps on different streams conflict when they touch the same elements and one writes. The earlier in the plan's
// order must be done before the later begins. A vector clock per step says what is already known to be done (through
// the stream's own order and earlier waits); of what is missing only those waits are kept that no other one implies.

#include <algorithm>

#include "base/error.h"
#include "plan/builder.h"

namespace hadal {

namespace {

struct RangeUse {
  int step = 0;
  std::int64_t first = 0, end = 0;
  bool writes = false;
  std::int64_t pitch = 0, width = 0;  // of columns of a matrix: elements from row to row, and in a row; 0: all elements
};

bool overlap(const RangeUse& a, const RangeUse& b) {
  if (a.first >= b.end || b.first >= a.end) return false;
  if (a.pitch == 0 || a.pitch != b.pitch) return true;
  const std::int64_t of_a = a.first % a.pitch, of_b = b.first % b.pitch;
  return of_a < of_b + b.width && of_b < of_a + a.width;
}

// The elements that a step touches in a range: of a transfer of columns only those.
RangeUse access_of(const Plan& plan, int step, const Range& range, bool writes) {
  RangeUse access{step, range.first, range.first + range.count, writes};
  const auto* transfer = std::get_if<Transfer>(&plan.steps[static_cast<std::size_t>(step)].body);
  if (transfer == nullptr || transfer->rows < 2) return access;
  const auto elements = [&](std::size_t bytes) {
    return static_cast<std::int64_t>(bytes / size_of(plan.tensors[static_cast<std::size_t>(range.tensor)].type));
  };
  access.pitch = elements(writes ? transfer->destination_pitch : transfer->source_pitch);
  access.width = elements(transfer->row_bytes);
  HADAL_CHECK(access.first % access.pitch + access.width <= access.pitch);  // columns do not wrap
  return access;
}

// By stream: how many of its steps (as an index into the plan, plus one) are known to be done.
using Knowledge = std::vector<int>;

void join(Knowledge& into, const Knowledge& other) {
  for (std::size_t s = 0; s < into.size(); ++s) into[s] = std::max(into[s], other[s]);
}

}  // namespace

void synchronise(Plan& plan) {
  const std::size_t streams = plan.devices.size() * kStreamKinds;
  const auto stream_of = [&](int step) { return plan.steps[step].stream_index(); };
  std::vector<std::vector<RangeUse>> accesses(plan.tensors.size());
  std::vector<Knowledge> knows(plan.steps.size());  // after each step: including itself
  std::vector<Knowledge> last(streams, Knowledge(streams, 0));

  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
    Step& step = plan.steps[i];
    std::vector<int> latest(streams, -1);  // by stream: the last conflicting step
    const auto touch = [&](const Range& range, bool writes) {
      const RangeUse own = access_of(plan, i, range, writes);
      for (const RangeUse& access : accesses[range.tensor]) {
        if (!(writes || access.writes) || !overlap(own, access)) continue;
        int& slot = latest[stream_of(access.step)];
        if (access.step != i) slot = std::max(slot, access.step);
      }
      // What this stream did before is known to be done by whoever waits for this.
      std::erase_if(accesses[range.tensor], [&](const RangeUse& access) {
        return stream_of(access.step) == stream_of(i) && (writes || !access.writes) && own.pitch == 0 &&
               own.first <= access.first && access.end <= own.end;
      });
      accesses[range.tensor].push_back(own);
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
