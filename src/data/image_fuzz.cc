// Any bytes are an image of 4 x 4 pixels with values in [0, 1], or a DataError.

#include <cstdint>

#include "base/error.h"
#include "data/image_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const std::int64_t channels : {1, 3}) {
    try {
      for (const float value : hadal::decode_image(bytes, "input", {channels, 4, 4})) {
        if (!(value >= 0 && value <= 1.0001f)) __builtin_trap();
      }
    } catch (const hadal::DataError&) {
    }
  }
  return 0;
}
