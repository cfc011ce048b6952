#include "data/pixel_values.h"

#include <algorithm>

#include "base/clones.h"
#include "base/error.h"

namespace hadal {

namespace {

HADAL_CLONES void set_values(const std::uint8_t* __restrict pixels, std::int64_t count, float divisor, float mean,
                             float deviation, float shift, float* __restrict values) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = (static_cast<float>(pixels[i]) / divisor - mean) / deviation + shift;
  }
}

}  // namespace

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
    channels_[c].mean = static_cast<float>(spec.mean[spec.mean.size() == 1 ? 0 : c]);
    channels_[c].deviation = static_cast<float>(spec.deviation[spec.deviation.size() == 1 ? 0 : c]);
  }
  divisor_ = static_cast<float>(1 / spec.scale);
}

void PixelValues::write(std::span<const std::uint8_t> pixels, int channels, const Crop& crop,
                        std::span<float> values) const {
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const auto& [mean, deviation] = channels_[c];
    const std::int64_t plane = height_ * width_;
    const std::uint8_t* from = pixels.data() + (channels == 1 ? 0 : static_cast<std::int64_t>(c) * plane);
    float* to = values.data() + static_cast<std::int64_t>(c) * plane;
    const float shift = crop.colour[c] / divisor_ / deviation;
    if (!crop.mirrored) {
      set_values(from, plane, divisor_, mean, deviation, shift, to);
      continue;
    }
    for (std::int64_t y = 0; y < height_; ++y, from += width_, to += width_) {
      set_values(from, width_, divisor_, mean, deviation, shift, to);
      std::reverse(to, to + width_);
    }
  }
}

}  // namespace hadal
