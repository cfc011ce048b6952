// Any bytes are an .npy header that agrees with their number, or a DataError.

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "data/npy_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto start = bytes.first(std::min(size, hadal::kNpyHeaderLimit));
    const hadal::NpyHeader header = hadal::parse_npy_header(start, size, "input");
    const std::size_t values = size - header.size;
    if (header.size > size || values % hadal::size_of(header.element) != 0) __builtin_trap();
    const auto count = static_cast<std::uint64_t>(hadal::elements(header.shape));
    if (count * hadal::size_of(header.element) != values) __builtin_trap();
  } catch (const hadal::DataError& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) __builtin_trap();
  }
  return 0;
}
