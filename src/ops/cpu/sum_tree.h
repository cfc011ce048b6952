#pragma once
// Sums of equal arrays by halves (nn/op.h, SumParts), a block at a time.

#include <cstddef>
#include <cstdint>
#include <span>

namespace hadal {

// Elements of a block: one for each level of the tree stays in the first-level cache.
inline constexpr std::int64_t kSumBlock = 1024;

// Floats that sum_block needs to work in, for `parts` parts.
std::size_t sum_tree_floats(int parts);

// The sum of elements [first, first + count), count <= kSumBlock, of all parts: in `levels`, or where one part is all
// there is, in the part itself.
const float* sum_block(std::span<std::byte* const> parts, std::int64_t first, std::int64_t count, float* levels);

}  // namespace hadal
