#pragma once
// Where the elements of a batch of images lie.

#include <cstdint>

#include "tensor/tensor.h"

namespace hadal::reference {

struct Image {
  std::int64_t channels, height, width;
  std::int64_t channel_stride, row_stride, column_stride;

  Image(std::int64_t image_channels, std::int64_t image_height, std::int64_t image_width, Layout layout)
      : channels(image_channels), height(image_height), width(image_width) {
    const bool last = layout == Layout::channels_last;
    channel_stride = last ? 1 : height * width;
    column_stride = last ? channels : 1;
    row_stride = width * column_stride;
  }

  std::int64_t at(std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) const {
    return n * channels * height * width + c * channel_stride + y * row_stride + x * column_stride;
  }
  bool contains(std::int64_t y, std::int64_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }
};

}  // namespace hadal::reference
