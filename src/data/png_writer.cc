#include "data/png_writer.h"

#include <png.h>

#include <cstring>

#include "base/error.h"

namespace hadal {

std::string png_bytes(std::span<const std::uint8_t> indices, std::uint32_t width, std::uint32_t height,
                      std::span<const PngColour> palette) {
  HADAL_CHECK(width > 0 && height > 0 && indices.size() == std::size_t{width} * height);
  HADAL_CHECK(!palette.empty() && palette.size() <= 256);
  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB_COLORMAP;
  image.colormap_entries = static_cast<png_uint_32>(palette.size());
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  const int written = png_image_write_to_memory(&image, bytes.data(), &size, 0, indices.data(), 0, palette.data());
  const std::string message = image.message;
  png_image_free(&image);
  if (written == 0) throw StorageError("a PNG image cannot be made: " + message);
  bytes.resize(size);
  return bytes;
}

}  // namespace hadal
