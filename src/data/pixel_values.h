#pragma once

#include <span>
#include <vector>

#include "data/crop.h"
#include "tensor/tensor.h"

namespace hadal {

// Pixels of 8 bits as the numbers of a sample: (x scale - mean) / std. Immutable.
class PixelValues {
 public:
  // `input`: [1 or 3, height, width]. Throws ConfigError at spec.where where `mean`, `std` or `pca` do not fit it.
  PixelValues(const ImageSpec& spec, const Shape& input);

  // pixels: [channels, height, width], with one channel, or as many as the input has. values: the input's shape.
  // crop: whether it is mirrored, and its change of colour.
  void write(std::span<const std::uint8_t> pixels, int channels, const Crop& crop, std::span<float> values) const;

 private:
  struct Channel {
    float mean = 0, deviation = 1;
  };
  std::vector<Channel> channels_;
  float divisor_;  // 1 / scale: x / 255 is exact by default, as for every other source
  std::int64_t height_, width_;
};

}  // namespace hadal
