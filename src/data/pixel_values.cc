#include "data/pixel_values.h"

#include "base/error.h"

namespace hadal {

PixelValues::PixelValues(const ImageSpec& spec, const Shape& input) {
  if (input.size() != 3 || (input[0] != 1 && input[0] != 3)) {
    throw ConfigError(spec.where,
                      "images are read for an input of [1, height, width] or [3, height, width]; the network's is " +
                          to_string(input));
  }
  height_ = input[1];
  width_ = input[2];
  channels_.resize(static_cast<std::size_t>(input[0]));
  for (const auto& [name, numbers] : {std::pair("mean", &spec.mean), std::pair("std", &spec.deviation)}) {
    if (numbers->size() == 1 || numbers->size() == channels_.size()) continue;
    throw ConfigError(spec.where, std::string(name) + " has " + std::to_string(numbers->size()) +
                                      " numbers, but the network's input has 1 channel: give one number");
  }
  if (spec.pca > 0 && channels_.size() == 1) {
    throw ConfigError(spec.where, "pca changes colours, and the network's input is gray: leave it out");
  }
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const double mean = spec.mean[spec.mean.size() == 1 ? 0 : c];
    const double deviation = spec.deviation[spec.deviation.size() == 1 ? 0 : c];
    for (std::size_t x = 0; x < 256; ++x) {
      // The default is x / 255 to the bit, as for every other source.
      const double value = spec.scale == 1 / 255.0 ? static_cast<double>(x) / 255 : static_cast<double>(x) * spec.scale;
      channels_[c].values[x] = static_cast<float>((value - mean) / deviation);
    }
    channels_[c].of_one = static_cast<float>(spec.scale / deviation);
  }
}

void PixelValues::write(std::span<const std::uint8_t> pixels, int channels, const Crop& crop,
                        std::span<float> values) const {
  const auto width = static_cast<std::size_t>(width_), step = static_cast<std::size_t>(channels);
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const Channel& channel = channels_[c];
    const float shift = crop.colour[c] * channel.of_one;
    for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y) {
      const std::uint8_t* const from = pixels.data() + y * width * step + (step == 1 ? 0 : c);
      float* const to = values.data() + (c * static_cast<std::size_t>(height_) + y) * width;
      if (crop.mirrored) {
        for (std::size_t x = 0; x < width; ++x) to[width - 1 - x] = channel.values[from[x * step]] + shift;
      } else {
        for (std::size_t x = 0; x < width; ++x) to[x] = channel.values[from[x * step]] + shift;
      }
    }
  }
}

}  // namespace hadal
