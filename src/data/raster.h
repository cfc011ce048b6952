#pragma once
// What the image decoders make.

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

// Samples as the file has them, [height, width, channels], in [0, largest].
struct Raster {
  std::int64_t width = 0, height = 0;
  int channels = 1;  // 1 or 3
  unsigned largest = 255;
  std::vector<std::uint16_t> samples;
};

// Throws DataError where the raster's size is not the wanted one. Decoders ask before they make room for samples.
struct RasterSize {
  std::int64_t width = 0, height = 0;
};
void check_size(const Raster& raster, const RasterSize& wanted, const std::string& file);

}  // namespace hadal
