#include "data/image_decoder.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "data/image_file.h"

namespace hadal {

RasterSize ImageDecoder::open(std::span<const std::byte> bytes, const std::string& file) {
  is_jpeg_ = is_jpeg(bytes);
  if (is_jpeg_) return jpeg_.open(bytes, file);
  raster_ = decode_raster(bytes, file, {});
  return {raster_.width, raster_.height};
}

void ImageDecoder::decode(int eighths, int channels, Image& image) {
  if (is_jpeg_) return jpeg_.decode(eighths, channels, image);
  image.width = raster_.width;
  image.height = raster_.height;
  image.channels = std::min(channels, raster_.channels);
  const bool to_gray = image.channels < raster_.channels;
  if (image.pixels.size() < raster_.samples.size()) image.pixels.resize(raster_.samples.size());
  const unsigned largest = raster_.largest;
  const auto to_byte = [largest](unsigned sample) { return largest == 65535 ? sample >> 8 : sample * 255 / largest; };
  if (!to_gray) {
    for (std::size_t i = 0; i < raster_.samples.size(); ++i) {
      image.pixels[i] = static_cast<std::uint8_t>(largest == 255 ? raster_.samples[i] : to_byte(raster_.samples[i]));
    }
    return;
  }
  for (std::size_t i = 0; 3 * i < raster_.samples.size(); ++i) {
    const std::uint16_t* colour = &raster_.samples[3 * i];
    image.pixels[i] = static_cast<std::uint8_t>(
        (299 * to_byte(colour[0]) + 587 * to_byte(colour[1]) + 114 * to_byte(colour[2]) + 500) / 1000);
  }
}

bool has_image_name(const std::string& name) {
  static constexpr std::array<std::string_view, 5> kEndings = {"jpg", "jpeg", "png", "pgm", "ppm"};
  std::string ending = name.substr(name.rfind('.') + 1);  // of a name without a point: all of it
  if (ending.size() == name.size()) return false;
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

}  // namespace hadal
