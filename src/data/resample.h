#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/crop.h"

namespace hadal {

// Scales parts of images. One thread uses it; what it allocates it keeps for the next image.
class Resampler {
 public:
  // The crop, not mirrored, as `size`: [height, width, channels of the image], 8 bits. Bilinear: each pixel is a mean
  // of those around its place, with weights that fall with their distance over the larger of one pixel of the image and
  // one of the result, so that nothing is left out where it becomes smaller. A crop of whole pixels at its own size is
  // copied.
  void run(const Image& image, const Crop& crop, const RasterSize& size, std::span<std::uint8_t> pixels);

 private:
  // Of one axis: for each pixel of the result which ones of the image, and their weights, which sum up to 2^14, or to 0
  // outside the image.
  struct Taps {
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> count;
    std::vector<std::int32_t> weights;  // `most` for each
    std::int32_t most = 0;

    void make(double begin, double length, std::int64_t size, std::int64_t image_size);
    const std::int32_t* of(std::int64_t i) const { return weights.data() + i * most; }
  };

  template <int kChannels>
  void shrink_rows(const Image& image, std::int64_t first_row, std::int64_t end_row, std::int64_t width);

  Taps across_, down_;
  std::vector<std::uint8_t> rows_;  // scaled along x, not yet along y
  std::vector<std::int32_t> sums_;
};

}  // namespace hadal
