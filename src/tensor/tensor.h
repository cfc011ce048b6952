#pragma once
// Shapes, element types and layouts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

using Shape = std::vector<std::int64_t>;

// Product of the dimensions; 1 for a scalar. Throws DataError where it is past 2^62.
std::int64_t elements(const Shape& shape);

std::string to_string(const Shape& shape);  // "[1, 28, 28]"

enum class DType { f32, f64, bf16, i32, u8 };

std::size_t size_of(DType type);
const char* to_string(DType type);  // "f32"

// How the samples of an activation lie in memory; the batch is always the slowest dimension, and every layout has the
// canonical one's size. Parameters, files and the wire are canonical.
enum class Layout {
  canonical,      // [N, C, H, W], row-major
  channels_last,  // [N, H, W, C]
};

}  // namespace hadal
