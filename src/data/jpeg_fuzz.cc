// Any bytes are an image at each size that is decoded, or a DataError. The first byte chooses.

#include "base/error.h"
#include "data/image_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t kEnough = 1 << 20;  // pixels: larger ones only take longer
  if (size == 0) return 0;
  const std::string name = "input";
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  static hadal::ImageDecoder decoder;  // used again after errors, as the pipeline does
  static hadal::Image image;
  const int eighths = 1 << (data[0] & 3), channels = (data[0] & 4) != 0 ? 1 : 3;
  try {
    const hadal::RasterSize opened = decoder.open(bytes, name);
    if (opened.width * opened.height > kEnough) return 0;
    decoder.decode(eighths, channels, image);
    if (image.channels != 1 && image.channels != channels) __builtin_trap();
    if (image.width < 1 || image.width > opened.width || image.height < 1) __builtin_trap();
    if (image.pixels.size() < static_cast<std::size_t>(image.width * image.height * image.channels)) __builtin_trap();
  } catch (const hadal::DataError&) {
  }
  return 0;
}
