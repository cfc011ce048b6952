#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace hadal {

namespace {

constexpr int kWeightBits = 14;
constexpr std::int32_t kOne = 1 << kWeightBits, kHalf = kOne / 2;

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

}  // namespace

void Resampler::Taps::make(double begin, double length, std::int64_t size, std::int64_t image_size) {
  const double step = length / static_cast<double>(size), radius = std::max(1.0, step);
  most = static_cast<std::int32_t>(std::ceil(2 * radius)) + 1;
  first.assign(static_cast<std::size_t>(size), 0);
  count.assign(static_cast<std::size_t>(size), 0);
  weights.assign(static_cast<std::size_t>(size * most), 0);
  for (std::int64_t i = 0; i < size; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * step;
    if (centre <= 0 || centre >= static_cast<double>(image_size)) continue;
    // Pixel j has its own centre at j + 0.5.
    const auto low = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(centre - radius - 0.5)));
    const auto high = std::min(image_size - 1, static_cast<std::int64_t>(std::floor(centre + radius - 0.5)));
    const auto weight = [&](std::int64_t j) {
      return std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / radius);
    };
    double sum = 0;
    for (std::int64_t j = low; j <= high; ++j) sum += weight(j);
    std::int32_t* const whole = weights.data() + i * most;
    std::int32_t left = kOne, largest = 0;
    for (std::int64_t j = low; j <= high; ++j) {
      const auto k = static_cast<std::int32_t>(j - low);
      whole[k] = static_cast<std::int32_t>(std::lround(weight(j) / sum * kOne));
      left -= whole[k];
      if (whole[k] > whole[largest]) largest = k;
    }
    whole[largest] += left;  // what rounding left over
    first[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(low);
    count[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(high - low + 1);
  }
}

template <int kChannels>
void Resampler::shrink_rows(const Image& image, std::int64_t first_row, std::int64_t end_row, std::int64_t width) {
  for (std::int64_t y = first_row; y < end_row; ++y) {
    const std::uint8_t* const from = image.pixels.data() + y * image.width * kChannels;
    std::uint8_t* to = rows_.data() + (y - first_row) * width * kChannels;
    for (std::int64_t x = 0; x < width; ++x, to += kChannels) {
      const std::int32_t* const weights = across_.of(x);
      const std::uint8_t* pixel = from + across_.first[static_cast<std::size_t>(x)] * kChannels;
      std::int32_t sums[kChannels];
      for (int c = 0; c < kChannels; ++c) sums[c] = kHalf;
      for (std::int32_t k = 0; k < across_.count[static_cast<std::size_t>(x)]; ++k, pixel += kChannels) {
        for (int c = 0; c < kChannels; ++c) sums[c] += weights[k] * pixel[c];
      }
      for (int c = 0; c < kChannels; ++c) to[c] = static_cast<std::uint8_t>(sums[c] >> kWeightBits);
    }
  }
}

void Resampler::run(const Image& image, const Crop& crop, const RasterSize& size, std::span<std::uint8_t> pixels) {
  const auto row_bytes = static_cast<std::size_t>(size.width * image.channels);
  if (is_copy(crop, size)) {
    copy(image, static_cast<std::int64_t>(crop.x), static_cast<std::int64_t>(crop.y), size, pixels.data());
    return;
  }
  across_.make(crop.x, crop.width, size.width, image.width);
  down_.make(crop.y, crop.height, size.height, image.height);
  std::int64_t first_row = image.height, end_row = 0;
  for (std::size_t i = 0; i < down_.first.size(); ++i) {
    if (down_.count[i] == 0) continue;
    first_row = std::min<std::int64_t>(first_row, down_.first[i]);
    end_row = std::max<std::int64_t>(end_row, down_.first[i] + down_.count[i]);
  }
  first_row = std::min(first_row, end_row);
  rows_.resize(std::max(rows_.size(), static_cast<std::size_t>(end_row - first_row) * row_bytes));
  image.channels == 1 ? shrink_rows<1>(image, first_row, end_row, size.width)
                      : shrink_rows<3>(image, first_row, end_row, size.width);
  sums_.resize(row_bytes);
  for (std::int64_t y = 0; y < size.height; ++y) {
    std::fill(sums_.begin(), sums_.end(), kHalf);
    const std::int32_t* const weights = down_.of(y);
    for (std::int32_t k = 0; k < down_.count[static_cast<std::size_t>(y)]; ++k) {
      const auto row = static_cast<std::size_t>(down_.first[static_cast<std::size_t>(y)] + k - first_row);
      const std::uint8_t* const from = rows_.data() + row * row_bytes;
      for (std::size_t x = 0; x < row_bytes; ++x) sums_[x] += weights[k] * from[x];
    }
    std::uint8_t* const to = pixels.data() + static_cast<std::size_t>(y) * row_bytes;
    for (std::size_t x = 0; x < row_bytes; ++x) to[x] = static_cast<std::uint8_t>(sums_[x] >> kWeightBits);
  }
}

}  // namespace hadal
