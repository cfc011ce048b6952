#include "data/raster.h"

#include "base/error.h"
#include "base/thousands.h"

namespace hadal {

void Image::begin(const RasterSize& size, int channel_count) {
  width = size.width;
  height = size.height;
  channels = channel_count;
  eighths = 8;
  file = size;
  x = y = 0;
  const auto bytes = static_cast<std::size_t>(width * height * channels);
  if (pixels.size() < bytes) pixels.resize(bytes);
}

void Image::make_gray() {
  if (channels == 1) return;
  channels = 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(width * height); ++i) {
    const std::uint8_t* const colour = &pixels[3 * i];
    pixels[i] = static_cast<std::uint8_t>((299 * colour[0] + 587 * colour[1] + 114 * colour[2] + 500) / 1000);
  }
}

void Image::shrink() {
  constexpr std::size_t kKept = 64 << 20;
  if (pixels.size() > kKept) pixels = std::vector<std::uint8_t>();
}

void check_size(const RasterSize& size, const std::string& file) {
  constexpr std::int64_t kMostPixels = std::int64_t{1} << 26, kLongestSide = 65'535;
  if (size.width <= kLongestSide && size.height <= kLongestSide && size.width * size.height <= kMostPixels) return;
  throw DataError(file + ": the image is " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                  " pixels; at most " + with_thousands(kMostPixels) + " are read, and sides of " +
                  with_thousands(kLongestSide));
}

}  // namespace hadal
