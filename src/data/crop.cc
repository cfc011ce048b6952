#include "data/crop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace hadal {

namespace {

// An image scaled and padded, of which the crop is cut: a pixel of it is so many of the image's.
struct Canvas {
  std::int64_t width = 0, height = 0, pad = 0;
  double x_step = 1, y_step = 1;

  // The part of it that the input is, from its pixel (x, y) on.
  Crop cut(std::int64_t x, std::int64_t y, const RasterSize& input) const {
    return {.x = static_cast<double>(x - pad) * x_step,
            .y = static_cast<double>(y - pad) * y_step,
            .width = static_cast<double>(input.width) * x_step,
            .height = static_cast<double>(input.height) * y_step};
  }
};

Canvas canvas_of(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, const std::string& file) {
  RasterSize size = image;
  const auto scaled_side = [](std::int64_t side, double factor) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(side) * factor));
  };
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  switch (spec.resize) {
    case Resize::none:
      break;
    case Resize::stretch:
      size = input;
      break;
    case Resize::fit: {
      const double factor =
          std::max(static_cast<double>(input.width) / width, static_cast<double>(input.height) / height);
      size = {std::max(input.width, scaled_side(image.width, factor)),
              std::max(input.height, scaled_side(image.height, factor))};
      break;
    }
    case Resize::side: {
      const double factor = static_cast<double>(spec.side) / std::min(width, height);
      size = {scaled_side(image.width, factor), scaled_side(image.height, factor)};
      break;
    }
  }
  Canvas canvas{.width = size.width + 2 * spec.pad,
                .height = size.height + 2 * spec.pad,
                .pad = spec.pad,
                .x_step = width / static_cast<double>(size.width),
                .y_step = height / static_cast<double>(size.height)};
  if (canvas.width < input.width || canvas.height < input.height) {
    throw DataError(
        fmt::format("{}: the image, {} x {} pixels before the crop, is smaller than the network's input, "
                    "{} x {}: resize: fit makes it larger",
                    file, canvas.width, canvas.height, input.width, input.height));
  }
  return canvas;
}

// torchvision's RandomResizedCrop: ten tries, then the largest crop in the centre whose shape is allowed.
Crop area_crop(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, SampleDraws& draws) {
  const double shape = static_cast<double>(input.width) / static_cast<double>(input.height);
  const double least = shape * spec.aspect[0], most = shape * spec.aspect[1];
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double share = (*spec.area)[0] + draws.uniform() * ((*spec.area)[1] - (*spec.area)[0]);
    const double aspect = least * std::pow(most / least, draws.uniform());
    const double area = share * static_cast<double>(image.width * image.height);
    const std::int64_t width = std::llround(std::sqrt(area * aspect)), height = std::llround(std::sqrt(area / aspect));
    if (width < 1 || height < 1 || width > image.width || height > image.height) continue;
    return {.x = static_cast<double>(draws.below(image.width - width + 1)),
            .y = static_cast<double>(draws.below(image.height - height + 1)),
            .width = static_cast<double>(width),
            .height = static_cast<double>(height)};
  }
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  const double aspect = std::clamp(width / height, least, most);
  Crop crop{.width = std::min(width, height * aspect), .height = std::min(height, width / aspect)};
  crop.x = (width - crop.width) / 2;
  crop.y = (height - crop.height) / 2;
  return crop;
}

// Krizhevsky et al. 2012, section 4.1, with the principal components of ImageNet's colours in [0, 1] that are in
// general use since.
std::array<float, 3> colour_jitter(double deviation, SampleDraws& draws) {
  static constexpr double kValues[3] = {0.2175, 0.0188, 0.0045};
  static constexpr double kVectors[3][3] = {
      {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
  double strength[3];
  for (int k = 0; k < 3; ++k) strength[k] = 255 * deviation * draws.normal() * kValues[k];
  std::array<float, 3> colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (int k = 0; k < 3; ++k) sum += kVectors[c][k] * strength[k];
    colour[c] = static_cast<float>(sum);
  }
  return colour;
}

}  // namespace

double SampleDraws::uniform() { return static_cast<double>(epoch_.bits(sample_, next_++, 0)[0]) * 0x1p-32; }

double SampleDraws::normal() {
  const PhiloxCounter bits = epoch_.bits(sample_, next_++, 0);
  const double radius = std::sqrt(-2 * std::log((static_cast<double>(bits[0]) + 1) * 0x1p-32));  // Box and Muller
  return radius * std::cos(2 * 3.14159265358979323846 * static_cast<double>(bits[1]) * 0x1p-32);
}

Crop choose_crop(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, SampleDraws draws,
                 const std::string& file) {
  Crop crop;
  if (spec.area) {
    crop = area_crop(spec, image, input, draws);
  } else {
    const Canvas canvas = canvas_of(spec, image, input, file);
    const std::int64_t right = canvas.width - input.width, down = canvas.height - input.height;
    if (spec.random_crop) {
      const std::int64_t x = draws.below(right + 1);
      crop = canvas.cut(x, draws.below(down + 1), input);
    } else {
      crop = canvas.cut(right / 2, down / 2, input);
    }
  }
  if (spec.mirror) crop.mirrored = draws.uniform() < 0.5;
  if (spec.pca > 0) crop.colour = colour_jitter(spec.pca, draws);
  return crop;
}

Crop test_crop(const ImageSpec& spec, const RasterSize& image, const RasterSize& input, std::int64_t index,
               const std::string& file) {
  const Canvas canvas = canvas_of(spec, image, input, file);
  const std::int64_t right = canvas.width - input.width, down = canvas.height - input.height;
  const std::int64_t places = spec.crops >= 5 ? 5 : 1, place = index % places;
  Crop crop = place == 0 ? canvas.cut(right / 2, down / 2, input)
                         : canvas.cut((place - 1) % 2 * right, (place - 1) / 2 * down, input);
  crop.mirrored = index >= places;
  return crop;
}

int enough_eighths(const Crop& crop, const RasterSize& input) {
  for (const int eighths : {1, 2, 4}) {
    if (crop.width * eighths >= 8.0 * static_cast<double>(input.width) &&
        crop.height * eighths >= 8.0 * static_cast<double>(input.height)) {
      return eighths;
    }
  }
  return 8;
}

RasterPart part_of(std::span<const Crop> crops, const RasterSize& image, int eighths, const RasterSize& input) {
  const double scale = eighths / 8.0;
  // Of one axis: a pixel of the input is a mean over up to half a step around it, or a pixel; decoders round the edges
  // of a part by another.
  const auto bounds = [&](double Crop::*begin, double Crop::*length, std::int64_t size, std::int64_t wanted) {
    const std::int64_t all = (size * eighths + 7) / 8;
    std::int64_t first = all, end = 0;
    for (const Crop& crop : crops) {
      const double from = crop.*begin * scale, to = from + crop.*length * scale;
      const double margin = std::max(1.0, (to - from) / static_cast<double>(wanted)) + 2;
      first = std::min(first, static_cast<std::int64_t>(std::floor(from - margin)));
      end = std::max(end, static_cast<std::int64_t>(std::ceil(to + margin)));
    }
    first = std::clamp<std::int64_t>(first, 0, all - 1);
    return std::pair(first, std::clamp(end, first + 1, all) - first);
  };
  const auto [x, width] = bounds(&Crop::x, &Crop::width, image.width, input.width);
  const auto [y, height] = bounds(&Crop::y, &Crop::height, image.height, input.height);
  return {x, y, width, height};
}

}  // namespace hadal
