#pragma once
// How numbers and pictures look in a terminal.

#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace hadal {

bool stdout_is_terminal();

std::string format_bytes(double bytes);      // "12.3 MB": 1 MB = 1e6 bytes
std::string format_seconds(double seconds);  // "8 s", "2:05", "1:02:05"
std::string format_count(double count);      // "10,714"

// A gray picture [height, width] of values in [0, 1], two pixels to a character, lines ended by '\n'.
std::string draw(std::span<const float> pixels, std::int64_t height, std::int64_t width);

// Joins two texts line by line, the left one padded to `left_width` columns.
std::string side_by_side(const std::string& left, std::size_t left_width, const std::string& right);

}  // namespace hadal
