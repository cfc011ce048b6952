#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "data/raster.h"

namespace hadal {

// Decodes JPEGs by libjpeg-turbo, one after the other. One thread uses it.
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();

  // Reads the header. `bytes` and `file`, which names them in errors, live until decode() has returned. Throws
  // DataError.
  RasterSize open(std::span<const std::byte> bytes, const std::string& file);

  // The image that was opened, at `eighths` (1, 2, 4 or 8) of its size, rounded up, or a part of that, which may get
  // larger: [height, width, channels], with one channel where it is gray or `channels` is 1, else three. Throws
  // DataError where it is damaged, also where the library could go on with what it has, and where it is progressive and
  // needs more than 256 MiB to be decoded.
  void decode(int eighths, int channels, Image& image, const RasterPart* part = nullptr);

 private:
  class Library;
  std::unique_ptr<Library> library_;
  const std::string* file_ = nullptr;
};

}  // namespace hadal
