#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/crop.h"

namespace hadal {

// Scales parts of images. One thread uses it; what it allocates it keeps for the next image: a few rows.
class Resampler {
 public:
  // The crop, in pixels of the whole image that the file has, not mirrored, as `size`: [channels of the image, height,
  // width], 8 bits. Bilinear: each pixel is a mean of those around its place, with weights that fall with their
  // distance over the larger of one pixel of the image and one of the result, so that nothing is left out where it
  // becomes smaller. A crop of whole pixels at its own size is copied.
  //
  // The image may be a part of it: one that has part_of() the crop.
  //
  // Of an image that was decoded smaller, the last row and column stand for fewer of the file's pixels than others, if
  // its size is no multiple of theirs; they weigh less then.
  void run(const Image& image, const Crop& crop, const RasterSize& size, std::span<std::uint8_t> pixels);

 private:
  // Of one axis: for each pixel of the result the first one of the image that it is a mean of, and `count` weights,
  // which sum up to 1, or are 0 outside the image.
  struct Taps {
    std::vector<std::int32_t> first;
    std::vector<float> weights;
    std::int32_t count = 0;
    std::int32_t begin = 0, end = 0;  // all that weigh anything lie in it

    // Of pixels from `from` on, `length` of them, as `size`. `image_size`: pixels of the image, the last of which may
    // be a part of one.
    void make(double from, double length, std::int64_t size, double image_size);
  };

  Taps across_, down_;
  std::vector<float> row_;  // scaled along y, not yet along x
};

}  // namespace hadal
