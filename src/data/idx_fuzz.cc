// Any bytes are an IDX header that agrees with their number, or a DataError.

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "data/idx_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const auto content : {hadal::IdxContent::images, hadal::IdxContent::labels}) {
    try {
      const auto start = bytes.first(std::min(size, hadal::kIdxHeaderLimit));
      const hadal::IdxHeader header = hadal::parse_idx_header(start, size, "input", content);
      if (header.size + static_cast<std::uint64_t>(header.shape[0]) * header.sample != size) __builtin_trap();
      if (static_cast<std::uint64_t>(hadal::elements(header.shape)) != size - header.size) __builtin_trap();
    } catch (const hadal::DataError&) {
    }
  }
  return 0;
}
