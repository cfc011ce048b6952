#pragma once
// Image files and archives of them, for tests.

#include <cstdio>
// It needs FILE from before.
#include <jpeglib.h>
#include <png.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "data/raster.h"

namespace hadal::testing {

// Smooth, so that JPEG keeps it nearly as it is, and different for each `kind`.
inline Image test_image(std::int64_t width, std::int64_t height, int channels, int kind = 0) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const std::int64_t value = 40 + 20 * (kind % 8) + (c == 0 ? 50 * x / width : c == 1 ? 60 * y / height : 30);
        image.pixels.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  return image;
}

struct JpegKind {
  int quality = 95;
  bool progressive = false;
  J_COLOR_SPACE colours = JCS_UNKNOWN;  // of four channels: JCS_CMYK, or JCS_YCCK; else those that the channels say
  std::pair<int, int> samples{2, 2};    // of luma for one of each colour: across, down
  bool adobe = true;                    // of four channels: the file says that it is as Adobe's programs write it
};

inline std::string jpeg_bytes(const Image& image, const JpegKind& kind = {}) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = image.channels;
  jpeg.in_color_space = image.channels == 4 ? JCS_CMYK : image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  if (kind.colours != JCS_UNKNOWN) jpeg_set_colorspace(&jpeg, kind.colours);
  if (jpeg.jpeg_color_space == JCS_YCbCr) {
    jpeg.comp_info[0].h_samp_factor = kind.samples.first;
    jpeg.comp_info[0].v_samp_factor = kind.samples.second;
  }
  jpeg.write_Adobe_marker = static_cast<boolean>(jpeg.write_Adobe_marker && kind.adobe);
  jpeg_set_quality(&jpeg, kind.quality, TRUE);
  if (kind.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    auto* row = const_cast<JSAMPROW>(image.pixels.data() +
                                     static_cast<std::int64_t>(jpeg.next_scanline) * image.width * image.channels);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(memory), size);
  std::free(memory);
  return bytes;
}

inline std::string png_bytes(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

// Of an archive's entry of so many bytes.
inline std::string tar_header(const std::string& name, std::size_t size, char type = '0',
                              const std::string& prefix = "") {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  const auto octal = [](std::size_t value, int digits) {
    std::string text(static_cast<std::size_t>(digits), '0');
    for (std::size_t i = text.size(); i-- > 0; value /= 8) text[i] = static_cast<char>('0' + value % 8);
    return text;
  };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(124, octal(size, 11));
  put(148, "        ");
  put(156, std::string(1, type));
  put(257, std::string("ustar\0", 6) + "00");
  put(345, prefix);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 6) + std::string("\0 ", 2));
  return header;
}

// Header and padded bytes.
inline std::string tar_entry(const std::string& name, const std::string& bytes, char type = '0',
                             const std::string& prefix = "") {
  return tar_header(name, bytes.size(), type, prefix) + bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
}

inline std::string tar_end() { return std::string(1024, '\0'); }

// Files as (name, bytes).
inline std::string tar_bytes(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string bytes;
  for (const auto& [name, content] : files) bytes += tar_entry(name, content);
  return bytes + tar_end();
}

}  // namespace hadal::testing
