#pragma once
// Which part of an image becomes a sample.

#include <array>
#include <cstdint>
#include <span>

#include "base/random.h"
#include "data/raster.h"
#include "spec/image_spec.h"

namespace hadal {

// A rectangle of an image, in its pixels, which is scaled to the network's input; what of it lies outside the image is
// black.
struct Crop {
  double x = 0, y = 0, width = 0, height = 0;
  bool mirrored = false;
  std::array<float, 3> colour{};  // added to red, green and blue, of 0 to 255

  bool operator==(const Crop&) const = default;
};

// Draws of one sample in one epoch: pure functions of (seed, epoch, sample).
class SampleDraws {
 public:
  // `epoch`: RandomSequence{seed, augment, epoch}.
  SampleDraws(const RandomSequence& epoch, std::uint32_t sample) : epoch_(epoch), sample_(sample) {}

  double uniform();  // in [0, 1)
  double normal();   // mean 0, deviation 1
  std::int64_t below(std::int64_t bound) { return static_cast<std::int64_t>(uniform() * static_cast<double>(bound)); }

 private:
  const RandomSequence& epoch_;
  std::uint32_t sample_, next_ = 0;
};

// The crop of a sample in training: the size before the crop as `resize` and `pad` say, or a crop of `area` and
// `aspect` as torchvision's RandomResizedCrop has it. Throws DataError naming `file` where the image is smaller than
// the input.
Crop choose_crop(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, SampleDraws draws,
                 const std::string& file);

// The same for evaluation: `index` counts the centre, the corners (left before right, top before bottom), then all of
// these mirrored; of 2 crops, the centre and its mirror image.
Crop test_crop(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, std::int64_t index,
               const std::string& file);

// The least of 1, 2, 4 and 8 eighths of an image at which the crop has as many pixels as the input on both sides, or 8.
int enough_eighths(const Crop& crop, const RasterSize& input);

// The pixels that the crops of an image need where it is decoded at so many eighths of its size, and some around them.
RasterPart part_of(std::span<const Crop> crops, const RasterSize& image, int eighths, const RasterSize& input);

}  // namespace hadal
