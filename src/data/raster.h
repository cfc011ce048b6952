#pragma once
// What the image decoders make.

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

// In pixels.
struct RasterSize {
  std::int64_t width = 0, height = 0;

  bool operator==(const RasterSize&) const = default;
};

// A part of an image.
struct RasterPart {
  std::int64_t x = 0, y = 0, width = 0, height = 0;
};

// What a file shows, or a part of it, or the same with fewer pixels.
struct Image {
  std::int64_t width = 0, height = 0;
  int channels = 1;                  // 1 or 3
  std::vector<std::uint8_t> pixels;  // [height, width, channels]; may have more room than that
  int eighths = 8;                   // of the size that its file has, which is `file`
  RasterSize file{};                 // 0: the image's own
  std::int64_t x = 0, y = 0;         // where it begins in all that the file shows, in pixels of this image

  // All of a file's image: there is room for its pixels, which are not set.
  void begin(const RasterSize& size, int channel_count);

  // Colour by the luma of ITU-R BT.601.
  void make_gray();

  // Gives back memory that only few images need.
  void shrink();
};

// Throws DataError where an image has more pixels, or longer sides, than are read. Decoders ask before they make room.
void check_size(const RasterSize& size, const std::string& file);

}  // namespace hadal
