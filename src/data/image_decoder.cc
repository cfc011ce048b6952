#include "data/image_decoder.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "data/png_image.h"
#include "data/pnm_image.h"

namespace hadal {

RasterSize ImageDecoder::open(std::span<const std::byte> bytes, const std::string& file) {
  bytes_ = bytes;
  file_ = &file;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xff\xd8\xff")) {
    format_ = Format::jpeg;
    return jpeg_.open(bytes, file);
  }
  if (text.starts_with("\x89PNG")) {
    format_ = Format::png;
    return png_size(bytes, file);
  }
  if (text.starts_with("P5") || text.starts_with("P6")) {
    format_ = Format::pnm;
    return pnm_size(bytes, file);
  }
  std::string what = "is not an image that can be read";
  if (text.starts_with("P2") || text.starts_with("P3")) what = "is a PGM or PPM of text";
  throw DataError(file, 0, what + "; JPEG, PNG and binary PGM (P5) and PPM (P6) are read");
}

void ImageDecoder::decode(int eighths, int channels, Image& image, const RasterPart* part) {
  if (format_ == Format::jpeg) return jpeg_.decode(eighths, channels, image, part);
  format_ == Format::png ? decode_png(bytes_, *file_, image) : decode_pnm(bytes_, *file_, image);
  if (channels == 1) image.make_gray();
}

bool has_image_name(const std::string& name) {
  static constexpr std::array<std::string_view, 5> kEndings = {"jpg", "jpeg", "png", "pgm", "ppm"};
  std::string ending = name.substr(name.rfind('.') + 1);  // of a name without a point: all of it
  if (ending.size() == name.size()) return false;
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

}  // namespace hadal
