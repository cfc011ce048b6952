#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/clones.h"

namespace hadal {

namespace {

bool is_whole(double value) { return value == std::floor(value); }

// Whole pixels at their own size.
bool is_copy(const Crop& crop, const RasterSize& size) {
  return crop.width == static_cast<double>(size.width) && crop.height == static_cast<double>(size.height) &&
         is_whole(crop.x) && is_whole(crop.y);
}

// Pixels from (x, y) on; those outside the image are black.
void copy(const Image& image, std::int64_t x, std::int64_t y, const RasterSize& size, std::uint8_t* to) {
  const auto row_bytes = static_cast<std::size_t>(size.width * image.channels);
  const std::int64_t left = std::clamp<std::int64_t>(-x, 0, size.width);
  const std::int64_t right = std::clamp(image.width - x, left, size.width);
  for (std::int64_t row = 0; row < size.height; ++row, to += row_bytes) {
    const bool inside = y + row >= 0 && y + row < image.height && left < right;
    if (!inside || right - left < size.width) std::memset(to, 0, row_bytes);
    if (!inside) continue;
    std::memcpy(to + left * image.channels, image.pixels.data() + ((y + row) * image.width + x + left) * image.channels,
                static_cast<std::size_t>((right - left) * image.channels));
  }
}

// Sum over k of weights[k] rows[k stride + i].
HADAL_CLONES void weigh_rows(const std::uint8_t* __restrict rows, std::int64_t stride, const float* weights,
                             std::int32_t count, std::int64_t size, float* __restrict sums) {
  for (std::int64_t i = 0; i < size; ++i) sums[i] = 0.5f;  // rounds
  std::int32_t k = 0;
  for (; k + 1 < count; k += 2, rows += 2 * stride) {
    const std::uint8_t* __restrict next = rows + stride;
    for (std::int64_t i = 0; i < size; ++i) {
      sums[i] += weights[k] * static_cast<float>(rows[i]) + weights[k + 1] * static_cast<float>(next[i]);
    }
  }
  if (k == count) return;
  for (std::int64_t i = 0; i < size; ++i) sums[i] += weights[k] * static_cast<float>(rows[i]);
}

// A pixel of three channels, and what follows it.
using Floats4 [[gnu::vector_size(16)]] = float;

void weigh_colours(const float* pixel, const float* weights, std::int32_t count, std::uint8_t* to) {
  Floats4 sum{};
  for (std::int32_t k = 0; k < count; ++k, pixel += 3) {
    Floats4 colour;
    std::memcpy(&colour, pixel, sizeof colour);
    sum += weights[k] * colour;
  }
  for (int c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>(sum[c]);
}

void weigh_grays(const float* pixel, const float* weights, std::int32_t count, std::uint8_t* to) {
  float sum = 0;
  for (std::int32_t k = 0; k < count; ++k) sum += weights[k] * pixel[k];
  *to = static_cast<std::uint8_t>(sum);
}

}  // namespace

void Resampler::Taps::make(double from, double length, std::int64_t size, double image_size) {
  const double step = length / static_cast<double>(size), radius = std::max(1.0, step);
  const auto last = static_cast<std::int64_t>(std::ceil(image_size)) - 1;
  most = static_cast<std::int32_t>(std::ceil(2 * radius)) + 1;
  first.assign(static_cast<std::size_t>(size), 0);
  count.assign(static_cast<std::size_t>(size), 0);
  weights.assign(static_cast<std::size_t>(size * most), 0);
  begin = static_cast<std::int32_t>(last);
  end = begin;
  for (std::int64_t i = 0; i < size; ++i) {
    const double centre = from + (static_cast<double>(i) + 0.5) * step;
    if (centre <= 0 || centre >= image_size) continue;
    // Pixel j has its own centre at j + 0.5.
    const auto low = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(centre - radius - 0.5)));
    const auto high = std::min(last, static_cast<std::int64_t>(std::floor(centre + radius - 0.5)));
    const auto weight = [&](std::int64_t j) {
      const double near = std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / radius);
      return j == last ? near * (image_size - static_cast<double>(last)) : near;
    };
    double sum = 0;
    for (std::int64_t j = low; j <= high; ++j) sum += weight(j);
    for (std::int64_t j = low; j <= high; ++j) weights[i * most + j - low] = static_cast<float>(weight(j) / sum);
    first[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(low);
    count[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(high - low + 1);
    begin = std::min(begin, static_cast<std::int32_t>(low));
    end = std::max(end, static_cast<std::int32_t>(high + 1));
  }
}

void Resampler::run(const Image& image, const Crop& crop, const RasterSize& size, std::span<std::uint8_t> pixels) {
  const double scale = image.eighths / 8.0;
  const Crop part{.x = crop.x * scale, .y = crop.y * scale, .width = crop.width * scale, .height = crop.height * scale};
  const RasterSize file = image.file.width > 0 ? image.file : RasterSize{image.width, image.height};
  const double width = static_cast<double>(file.width) * scale, height = static_cast<double>(file.height) * scale;
  if (is_copy(part, size) && is_whole(width) && is_whole(height)) {
    copy(image, static_cast<std::int64_t>(part.x) - image.x, static_cast<std::int64_t>(part.y) - image.y, size,
         pixels.data());
    return;
  }
  across_.make(part.x, part.width, size.width, width);
  down_.make(part.y, part.height, size.height, height);
  const std::int64_t channels = image.channels, used = (across_.end - across_.begin) * channels;
  row_.resize(std::max(row_.size(), static_cast<std::size_t>(used) + 1));  // and what follows the last pixel
  std::uint8_t* to = pixels.data();
  for (std::int64_t y = 0; y < size.height; ++y) {
    const std::int32_t rows = down_.count[static_cast<std::size_t>(y)];
    if (rows > 0) {
      const std::int64_t first = down_.first[static_cast<std::size_t>(y)] - image.y, left = across_.begin - image.x;
      weigh_rows(image.pixels.data() + (first * image.width + left) * channels, image.width * channels, down_.of(y),
                 rows, used, row_.data());
    }
    for (std::int64_t x = 0; x < size.width; ++x, to += channels) {
      const auto i = static_cast<std::size_t>(x);
      const std::int32_t columns = rows > 0 ? across_.count[i] : 0;
      const float* const from = row_.data() + (columns > 0 ? (across_.first[i] - across_.begin) * channels : 0);
      if (channels == 1) {
        weigh_grays(from, across_.of(x), columns, to);
      } else {
        weigh_colours(from, across_.of(x), columns, to);
      }
    }
  }
}

}  // namespace hadal
