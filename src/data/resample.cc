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

// Pixels [x, x + width) of a row, one channel after the other, each `plane` behind the one before.
HADAL_CLONES void copy_colours(const std::uint8_t* __restrict row, std::int64_t width, std::int64_t plane,
                               std::uint8_t* __restrict to) {
  std::uint8_t* __restrict const green = to + plane;
  std::uint8_t* __restrict const blue = green + plane;
  for (std::int64_t x = 0; x < width; ++x) {
    to[x] = row[3 * x];
    green[x] = row[3 * x + 1];
    blue[x] = row[3 * x + 2];
  }
}

// Pixels from (x, y) on; those outside the image are black.
void copy(const Image& image, std::int64_t x, std::int64_t y, const RasterSize& size, std::span<std::uint8_t> pixels) {
  const std::int64_t plane = size.width * size.height;
  const std::int64_t left = std::clamp<std::int64_t>(-x, 0, size.width);
  const std::int64_t right = std::clamp(image.width - x, left, size.width);
  const std::int64_t top = std::clamp<std::int64_t>(-y, 0, size.height);
  const std::int64_t bottom = std::clamp(image.height - y, top, size.height);
  if ((right - left) * (bottom - top) < plane) std::fill(pixels.begin(), pixels.end(), std::uint8_t{0});
  if (left == right) return;
  for (std::int64_t row = top; row < bottom; ++row) {
    const std::uint8_t* from = image.pixels.data() + ((y + row) * image.width + x + left) * image.channels;
    std::uint8_t* const to = pixels.data() + row * size.width + left;
    if (image.channels == 1) {
      std::memcpy(to, from, static_cast<std::size_t>(right - left));
    } else {
      copy_colours(from, right - left, plane, to);
    }
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

// Each pixel of a row is a mean of `taps` of another, from first[x] on. Where there are three channels, they become
// rows of their own, `plane` apart.
using Floats4 [[gnu::vector_size(16)]] = float;

template <int kTaps>
[[gnu::always_inline]] inline void weigh_colours(const float* row, const std::int32_t* first, const float* weights,
                                                 std::int32_t taps, std::int64_t size, std::int64_t plane,
                                                 std::uint8_t* to) {
  const std::int32_t count = kTaps > 0 ? kTaps : taps;
  for (std::int64_t x = 0; x < size; ++x, weights += count) {
    const float* pixel = row + 3 * first[x];
    Floats4 sum{};
    for (std::int32_t k = 0; k < count; ++k, pixel += 3) {
      Floats4 colour;  // and the first number of the next pixel
      std::memcpy(&colour, pixel, sizeof colour);
      sum += weights[k] * colour;
    }
    for (int c = 0; c < 3; ++c) to[c * plane + x] = static_cast<std::uint8_t>(static_cast<std::int32_t>(sum[c]));
  }
}

HADAL_CLONES void weigh_columns(const float* row, const std::int32_t* first, const float* weights, std::int32_t taps,
                                std::int64_t size, int channels, std::int64_t plane, std::uint8_t* to) {
  if (channels == 3) {
    switch (taps) {
      case 2:
        return weigh_colours<2>(row, first, weights, taps, size, plane, to);
      case 3:
        return weigh_colours<3>(row, first, weights, taps, size, plane, to);
      case 4:
        return weigh_colours<4>(row, first, weights, taps, size, plane, to);
      default:
        return weigh_colours<0>(row, first, weights, taps, size, plane, to);
    }
  }
  for (std::int64_t x = 0; x < size; ++x, weights += taps) {
    float sum = 0;
    for (std::int32_t k = 0; k < taps; ++k) sum += weights[k] * row[first[x] + k];
    to[x] = static_cast<std::uint8_t>(static_cast<std::int32_t>(sum));
  }
}

}  // namespace

void Resampler::Taps::make(double from, double length, std::int64_t size, double image_size) {
  const double step = length / static_cast<double>(size), radius = std::max(1.0, step);
  const auto last = static_cast<std::int64_t>(std::ceil(image_size)) - 1;
  count = static_cast<std::int32_t>(std::ceil(2 * radius));
  first.assign(static_cast<std::size_t>(size), 0);
  weights.assign(static_cast<std::size_t>(size * count), 0);
  begin = static_cast<std::int32_t>(last);
  end = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double centre = from + (static_cast<double>(i) + 0.5) * step;
    if (centre <= 0 || centre >= image_size) continue;
    // Pixel j has its own centre at j + 0.5; those at the radius weigh nothing.
    const auto low = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(centre - radius - 0.5)) + 1);
    const auto high = std::min({last, low + count - 1, static_cast<std::int64_t>(std::floor(centre + radius - 0.5))});
    const auto weight = [&](std::int64_t j) {
      const double near = std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / radius);
      return j == last ? near * (image_size - static_cast<double>(last)) : near;
    };
    double sum = 0;
    for (std::int64_t j = low; j <= high; ++j) sum += weight(j);
    for (std::int64_t j = low; j <= high; ++j) weights[i * count + j - low] = static_cast<float>(weight(j) / sum);
    first[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(low);
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
    copy(image, static_cast<std::int64_t>(part.x) - image.x, static_cast<std::int64_t>(part.y) - image.y, size, pixels);
    return;
  }
  across_.make(part.x, part.width, size.width, width);
  down_.make(part.y, part.height, size.height, height);
  const std::int64_t channels = image.channels, used = std::max(0, across_.end - across_.begin) * channels;
  for (std::int32_t& first : across_.first) first = std::max(0, first - across_.begin);  // in row_
  // What weighs nothing may lie behind what is used.
  row_.resize(std::max(row_.size(), static_cast<std::size_t>(used + across_.count * channels + 1)));
  for (std::int64_t y = 0; y < size.height; ++y) {
    const float* const weights = down_.weights.data() + y * down_.count;
    std::int32_t rows = down_.count;
    while (rows > 0 && weights[rows - 1] == 0) --rows;
    const std::int64_t first = down_.first[static_cast<std::size_t>(y)] - image.y, left = across_.begin - image.x;
    const std::uint8_t* const from = image.pixels.data() + (first * image.width + left) * channels;
    if (rows > 0 && used > 0) {
      weigh_rows(from, image.width * channels, weights, rows, used, row_.data());
    } else {
      std::fill_n(row_.begin(), used, 0.0f);
    }
    weigh_columns(row_.data(), across_.first.data(), across_.weights.data(), across_.count, size.width, image.channels,
                  size.width * size.height, pixels.data() + y * size.width);
  }
}

}  // namespace hadal
