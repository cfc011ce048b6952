#pragma once
// What the image decoders make.

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

// Of a raster or an image, in pixels. Side 0: whatever it is.
struct RasterSize {
  std::int64_t width = 0, height = 0;
};
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 26;  // of an image whose size was not known before

// Samples as the file has them, [height, width, channels], in [0, largest].
struct Raster {
  std::int64_t width = 0, height = 0;
  int channels = 1;  // 1 or 3
  unsigned largest = 255;
  std::vector<std::uint16_t> samples;
};

// The same with 8 bits.
struct Image {
  std::int64_t width = 0, height = 0;
  int channels = 1;                  // 1 or 3
  std::vector<std::uint8_t> pixels;  // may have more room than the image needs

  RasterSize size() const { return {width, height}; }
};

// Throws DataError where a size is not the wanted one, or where any is wanted, has more than kMostPixels. Decoders ask
// before they make room.
void check_size(const RasterSize& size, const RasterSize& wanted, const std::string& file);

}  // namespace hadal
