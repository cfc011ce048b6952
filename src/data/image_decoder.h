#pragma once

#include "data/jpeg_image.h"

namespace hadal {

inline constexpr std::uint64_t kImageFileLimit = 256'000'000;  // bytes

// Decodes image files of any format that is read: JPEG, PNG, PGM (P5) and PPM (P6). One thread uses it.
class ImageDecoder {
 public:
  // The image's size. `bytes` and `file`, which names them in errors, live until decode() has returned. Throws
  // DataError where they are no image, or a damaged one.
  RasterSize open(std::span<const std::byte> bytes, const std::string& file);

  // The image that was opened: JPEGs at `eighths` (1, 2, 4 or 8) of its size, and of them, where it is given, `part` or
  // what is around it, too; others all at its size. It has one channel where it is gray or `channels` is 1, else three:
  // colour becomes gray by the luma of ITU-R BT.601. Transparency is dropped, and of 16 bits the first 8 are kept.
  // Throws DataError, also where the part is whole and the rest is not.
  void decode(int eighths, int channels, Image& image, const RasterPart* part = nullptr);

 private:
  enum class Format { jpeg, png, pnm };

  JpegDecoder jpeg_;
  Format format_ = Format::jpeg;
  std::span<const std::byte> bytes_;
  const std::string* file_ = nullptr;
};

// Whether a file of this name is taken for an image: .jpg, .jpeg, .png, .pgm, .ppm, in any case.
bool has_image_name(const std::string& name);

}  // namespace hadal
