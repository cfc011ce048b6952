#pragma once
// The numbers of an utterance: a row for each frame.

#include <cstdint>
#include <span>
#include <vector>

namespace hadal {

// [frames, dim], row-major: features, or scores of acoustic states.
struct FeatureMatrix {
  std::int64_t frames = 0, dim = 0;
  std::vector<float> values;

  FeatureMatrix() = default;
  FeatureMatrix(std::int64_t frame_count, std::int64_t width)
      : frames(frame_count), dim(width), values(static_cast<std::size_t>(frame_count * width)) {}

  std::span<float> row(std::int64_t frame) {
    return std::span(values).subspan(static_cast<std::size_t>(frame * dim), static_cast<std::size_t>(dim));
  }
  std::span<const float> row(std::int64_t frame) const {
    return std::span(values).subspan(static_cast<std::size_t>(frame * dim), static_cast<std::size_t>(dim));
  }
};

}  // namespace hadal
