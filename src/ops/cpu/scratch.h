#pragma once
// How a kernel divides its scratch memory.

#include <cstddef>

namespace hadal {

class ScratchPlan {
 public:
  // The offset of `bytes` more, aligned to 64.
  std::size_t reserve(std::size_t bytes) {
    const std::size_t offset = bytes_;
    bytes_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

}  // namespace hadal
