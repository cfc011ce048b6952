#include "data/image_file.h"

#include "base/file.h"
#include "data/image_decoder.h"
#include "data/pixel_values.h"
#include "data/resample.h"

namespace hadal {

std::vector<float> decode_image(std::span<const std::byte> bytes, const std::string& file, const Shape& input,
                                const ImageSpec* spec) {
  static const ImageSpec kAsItIs{.resize = Resize::none};
  const PixelValues values(spec == nullptr ? kAsItIs : *spec, input);
  const RasterSize wanted{input[2], input[1]};
  ImageDecoder decoder;
  const RasterSize size = decoder.open(bytes, file);
  if (spec == nullptr && size != wanted) {
    throw DataError(file + ": the image is " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                    " pixels, but the network's input is " + std::to_string(wanted.width) + " x " +
                    std::to_string(wanted.height));
  }
  const Crop crop = test_crop(spec == nullptr ? kAsItIs : *spec, size, wanted, 0, file);
  Image image;
  decoder.decode(enough_eighths(crop, wanted), static_cast<int>(input[0]), image);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(elements(input)));
  Resampler().run(image, crop, wanted, pixels);
  std::vector<float> sample(pixels.size());
  values.write(pixels, image.channels, crop, sample);
  return sample;
}

std::vector<float> read_image(const std::string& path, const Shape& input, const ImageSpec* spec) {
  const std::string bytes = read_file(path, kImageFileLimit);
  return decode_image(std::as_bytes(std::span(bytes)), path, input, spec);
}

}  // namespace hadal
