#pragma once
// What a tensor holds while a plan is followed without running it. Internal to src/plan.

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace hadal {

// What wrote some elements: a step, and which of its `writes` they were part of.
struct Producer {
  int step = 0, write = 0;

  bool operator==(const Producer&) const = default;
  bool operator<(const Producer& other) const { return std::tie(step, write) < std::tie(other.step, other.write); }
};

// Consecutive elements of a tensor with one history. Element e of the tensor is element e + shift of what each producer
// wrote. Several producers: their sum.
struct Segment {
  std::int64_t end = 0;
  std::vector<Producer> sum_of;  // sorted
  std::int64_t shift = 0;

  bool operator==(const Segment&) const = default;
};

// The contents of a tensor: by first element; what is not there was not written.
class Contents {
 public:
  void write(std::int64_t first, std::int64_t count, const std::vector<Producer>& sum_of, std::int64_t shift) {
    if (count == 0) return;
    cut(first);
    cut(first + count);
    segments_.erase(segments_.lower_bound(first), segments_.lower_bound(first + count));
    segments_[first] = {first + count, sum_of, shift};
  }

  // The part of each segment inside [first, first + count), with a gap as a segment of no producer.
  std::vector<std::pair<std::int64_t, Segment>> read(std::int64_t first, std::int64_t count) const {
    std::vector<std::pair<std::int64_t, Segment>> parts;
    auto next = segments_.upper_bound(first);
    if (next != segments_.begin() && std::prev(next)->second.end > first) --next;
    std::int64_t at = first;
    while (at < first + count) {
      Segment part;
      if (next == segments_.end() || next->first >= first + count) {
        part.end = first + count;
      } else if (next->first > at) {
        part.end = next->first;
      } else {
        part = next->second;
        part.end = std::min(part.end, first + count);
        ++next;
      }
      parts.emplace_back(at, part);
      at = part.end;
    }
    return parts;
  }

 private:
  void cut(std::int64_t at) {
    auto after = segments_.upper_bound(at);
    if (after == segments_.begin()) return;
    auto& [first, segment] = *std::prev(after);
    if (first == at || segment.end <= at) return;
    segments_[at] = segment;
    segment.end = at;
  }

  std::map<std::int64_t, Segment> segments_;
};

}  // namespace hadal
