#pragma once
// Blocks of bytes in as little room as possible, where some may not overlap.

#include <cstddef>
#include <functional>
#include <vector>

namespace hadal {

struct PackBlock {
  std::size_t bytes = 0;
  double span = 0;  // how long it lives: what lives long and is large is placed first in one of the tries
};

struct Packing {
  std::vector<std::size_t> offset;  // by block, multiples of the alignment
  std::size_t end = 0;              // of the highest block
};

// Places blocks one by one at the lowest offset where each meets none of those already placed, in several orders, and
// takes the best; then tries to place first what ends highest. Stops where `end` reaches `bound`, below which it cannot
// get. The same for the same arguments. `meet`: whether two blocks may not share bytes.
Packing pack(const std::vector<PackBlock>& blocks, const std::function<bool(std::size_t, std::size_t)>& meet,
             std::size_t alignment, std::size_t bound);

}  // namespace hadal
