#include "plan/pack.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace hadal {

namespace {

constexpr std::size_t kMany = 1500;  // blocks: of more only one order is tried, since pairs take long
constexpr int kSteps = 12;           // of the search after the orders

class Packer {
 public:
  Packer(const std::vector<PackBlock>& blocks, const std::function<bool(std::size_t, std::size_t)>& meet,
         std::size_t alignment)
      : blocks_(blocks), meet_(meet), alignment_(alignment) {}

  // Each pair is asked for once.
  void find_pairs() {
    neighbours_.resize(blocks_.size());
    for (std::size_t a = 0; a < blocks_.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (!meet_(a, b)) continue;
        neighbours_[a].push_back(static_cast<std::uint32_t>(b));
        neighbours_[b].push_back(static_cast<std::uint32_t>(a));
      }
    }
  }

  Packing place(const std::vector<std::size_t>& order) const {
    Packing packing{std::vector<std::size_t>(blocks_.size()), 0};
    std::vector<bool> placed(blocks_.size());
    std::vector<std::size_t> others, all;  // all: sorted by offset
    for (const std::size_t block : order) {
      others.clear();
      if (neighbours_.empty()) {
        std::copy_if(all.begin(), all.end(), std::back_inserter(others),
                     [&](std::size_t o) { return meet_(block, o); });
      } else {
        for (const std::uint32_t other : neighbours_[block]) {
          if (placed[other]) others.push_back(other);
        }
        std::sort(others.begin(), others.end(),
                  [&](std::size_t a, std::size_t b) { return packing.offset[a] < packing.offset[b]; });
      }
      std::size_t offset = 0;
      for (const std::size_t other : others) {
        if (offset + align(blocks_[block].bytes) <= packing.offset[other]) break;
        offset = std::max(offset, packing.offset[other] + align(blocks_[other].bytes));
      }
      packing.offset[block] = offset;
      packing.end = std::max(packing.end, offset + blocks_[block].bytes);
      placed[block] = true;
      if (!neighbours_.empty()) continue;
      all.insert(std::upper_bound(all.begin(), all.end(), offset,
                                  [&](std::size_t value, std::size_t other) { return value < packing.offset[other]; }),
                 block);
    }
    return packing;
  }

  // What ends highest.
  std::size_t top(const Packing& packing) const {
    std::size_t highest = 0;
    while (packing.offset[highest] + blocks_[highest].bytes != packing.end) ++highest;
    return highest;
  }

 private:
  std::size_t align(std::size_t bytes) const { return (bytes + alignment_ - 1) & ~(alignment_ - 1); }

  const std::vector<PackBlock>& blocks_;
  const std::function<bool(std::size_t, std::size_t)>& meet_;
  const std::size_t alignment_;
  std::vector<std::vector<std::uint32_t>> neighbours_;
};

}  // namespace

Packing pack(const std::vector<PackBlock>& blocks, const std::function<bool(std::size_t, std::size_t)>& meet,
             std::size_t alignment, std::size_t bound) {
  Packer packer(blocks, meet, alignment);
  const bool few = blocks.size() <= kMany;
  if (few) packer.find_pairs();
  std::vector<std::size_t> best_order(blocks.size());
  std::iota(best_order.begin(), best_order.end(), 0);
  std::stable_sort(best_order.begin(), best_order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  Packing best = packer.place(best_order);
  if (!few) return best;
  const auto attempt = [&](const std::vector<std::size_t>& order) {
    Packing packing = packer.place(order);
    if (packing.end >= best.end) return false;
    best = std::move(packing);
    best_order = order;
    return true;
  };
  const auto area = [&](std::size_t block) { return static_cast<double>(blocks[block].bytes) * blocks[block].span; };
  const auto span = [&](std::size_t block) { return blocks[block].span; };
  for (const auto& weight : {std::function<double(std::size_t)>(area), std::function<double(std::size_t)>(span)}) {
    if (best.end <= bound) break;
    std::vector<std::size_t> order(best_order);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return weight(a) > weight(b); });
    attempt(order);
  }
  std::vector<std::size_t> order = best_order;
  Packing last = best;
  for (int step = 0; step < kSteps && best.end > bound; ++step) {
    const std::size_t highest = packer.top(last);
    const auto at = std::find(order.begin(), order.end(), highest);
    std::rotate(order.begin(), at, at + 1);
    last = packer.place(order);
    if (last.end < best.end) best = last;
  }
  return best;
}

}  // namespace hadal
