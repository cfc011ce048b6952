#pragma once
// Two numbers of a window over an image, its kernel, stride, ...: along the height and along the width.

#include <cstdint>
#include <string>

namespace hadal {

struct Extent {
  std::int64_t height = 0, width = 0;

  constexpr Extent(std::int64_t both) : height(both), width(both) {}  // not explicit: most windows are square
  constexpr Extent(std::int64_t along_height, std::int64_t along_width) : height(along_height), width(along_width) {}

  constexpr std::int64_t area() const { return height * width; }

  constexpr bool operator==(const Extent&) const = default;
};

// "3", or "[3, 5]" where they differ, as in job.yaml.
inline std::string to_string(const Extent& extent) {
  const std::string height = std::to_string(extent.height);
  return extent.height == extent.width ? height : "[" + height + ", " + std::to_string(extent.width) + "]";
}

}  // namespace hadal
