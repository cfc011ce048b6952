#pragma once

#include <cstdint>
#include <string>

namespace hadal {

// The CRC-32C `sum` continued over a file's size (8 bytes), its first 64 KiB and its last 64 KiB. Throws DataError.
std::uint32_t checksum_of_ends(const std::string& path, std::uint32_t sum);

}  // namespace hadal
