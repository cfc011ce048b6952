#pragma once
// Bytes of IDX files for tests.

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

inline std::string idx_bytes(const std::vector<std::uint32_t>& dimensions, const std::string& values,
                             unsigned type = 0x08) {
  std::string bytes{0, 0, static_cast<char>(type), static_cast<char>(dimensions.size())};
  for (const std::uint32_t dimension : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dimension >> shift & 255);
  }
  return bytes + values;
}

}  // namespace hadal
