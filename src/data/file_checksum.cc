#include "data/file_checksum.h"

#include <algorithm>
#include <vector>

#include "base/crc32c.h"
#include "base/file.h"

namespace hadal {

std::uint32_t checksum_of_ends(const std::string& path, std::uint32_t sum) {
  constexpr std::uint64_t kEnd = 1 << 16;
  try {
    const InputFile file(path);
    const std::uint64_t size = file.size();
    sum = crc32c(std::as_bytes(std::span(&size, 1)), sum);
    std::vector<std::byte> bytes(std::min(kEnd, size));
    file.read(0, bytes);
    sum = crc32c(bytes, sum);
    file.read(file.size() - bytes.size(), bytes);
    return crc32c(bytes, sum);
  } catch (const ConfigError& error) {  // it was there a moment ago
    throw DataError(error.what());
  }
}

}  // namespace hadal
