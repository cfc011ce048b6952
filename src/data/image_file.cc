#include "data/image_file.h"

#include "base/file.h"
#include "data/jpeg_image.h"
#include "data/png_image.h"
#include "data/pnm_image.h"

namespace hadal {

namespace {

void check_input(const Shape& input, const std::string& file) {
  if (input.size() == 3 && (input[0] == 1 || input[0] == 3)) return;
  throw ConfigError(file +
                    ": images are read for an input of [1, height, width] or [3, height, width]; the network's is " +
                    to_string(input));
}

Raster decode_jpeg(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted) {
  JpegDecoder decoder;
  check_size(decoder.open(bytes, file), wanted, file);
  Image image;
  decoder.decode(8, 3, image);
  Raster raster{.width = image.width, .height = image.height, .channels = image.channels, .samples = {}};
  raster.samples.assign(image.pixels.begin(), image.pixels.end());
  return raster;
}

}  // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with("\xff\xd8\xff");
}

Raster decode_raster(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_jpeg(bytes)) return decode_jpeg(bytes, file, wanted);
  if (text.starts_with("\x89PNG")) return decode_png(bytes, file, wanted);
  if (text.starts_with("P5") || text.starts_with("P6")) return decode_pnm(bytes, file, wanted);
  std::string what = "is not an image that can be read";
  if (text.starts_with("P2") || text.starts_with("P3")) what = "is a PGM or PPM of text";
  throw DataError(file, 0, what + "; JPEG, PNG and binary PGM (P5) and PPM (P6) are read");
}

void check_size(const RasterSize& size, const RasterSize& wanted, const std::string& file) {
  if (wanted.width == 0) {
    if (size.width * size.height <= kMostPixels) return;
    throw DataError(file + ": the image is " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                    " pixels; at most " + std::to_string(kMostPixels) + " are read");
  }
  if (size.width == wanted.width && size.height == wanted.height) return;
  throw DataError(file + ": the image is " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                  " pixels, but the network's input is " + std::to_string(wanted.width) + " x " +
                  std::to_string(wanted.height));
}

std::vector<float> decode_image(std::span<const std::byte> bytes, const std::string& file, const Shape& input) {
  check_input(input, file);
  const Raster raster = decode_raster(bytes, file, {.width = input[2], .height = input[1]});
  const std::size_t pixels = static_cast<std::size_t>(raster.width * raster.height);
  const std::size_t from = static_cast<std::size_t>(raster.channels), to = static_cast<std::size_t>(input[0]);
  const float largest = static_cast<float>(raster.largest);
  std::vector<float> values(to * pixels);
  for (std::size_t i = 0; i < pixels; ++i) {
    const auto sample = [&](std::size_t channel) {
      return static_cast<float>(raster.samples[i * from + channel]) / largest;
    };
    if (from == 3 && to == 1) {
      values[i] = 0.299f * sample(0) + 0.587f * sample(1) + 0.114f * sample(2);
    } else {
      for (std::size_t channel = 0; channel < to; ++channel) {
        values[channel * pixels + i] = sample(from == 1 ? 0 : channel);
      }
    }
  }
  return values;
}

std::vector<float> read_image(const std::string& path, const Shape& input) {
  check_input(input, path);
  const std::string bytes = read_file(path, kImageFileLimit);
  return decode_image(std::as_bytes(std::span(bytes)), path, input);
}

}  // namespace hadal
