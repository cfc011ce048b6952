// Any bytes are a safetensors file or a DataError.

#include <cstdint>

#include "base/error.h"
#include "tensor/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto file = hadal::SafetensorsFile::parse("input", {bytes.begin(), bytes.end()});
    unsigned sum = 0;
    for (const hadal::SafetensorsEntry& entry : file.entries()) {
      try {
        for (const std::byte value : file.tensor(entry.name).bytes) sum += std::to_integer<unsigned>(value);
      } catch (const hadal::DataError&) {  // a type that is only recognised
      }
    }
    volatile unsigned used = sum;
    static_cast<void>(used);
  } catch (const hadal::DataError&) {
  }
  return 0;
}
