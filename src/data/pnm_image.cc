#include "data/pnm_image.h"

#include "base/error.h"
#include "base/thousands.h"

namespace hadal {

namespace {

class PnmReader {
 public:
  PnmReader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  // A decimal number of the header, behind white space and comments.
  unsigned number(const std::string& what, unsigned largest) {
    skip_space();
    const std::size_t begin = position_;
    unsigned value = 0;
    for (; position_ < bytes_.size() && is_digit(at()); ++position_) {
      value = value * 10 + static_cast<unsigned>(at() - '0');
      if (value > largest) fail(begin, "the " + what + " is past " + with_thousands(largest));
    }
    if (position_ == begin) fail(begin, "the " + what + " is missing");
    if (value == 0) fail(begin, "the " + what + " is 0");
    return value;
  }

  // The one white space between the header and the samples.
  void end_header() {
    if (position_ == bytes_.size() || !is_space(at())) fail(position_, "the header does not end with white space");
    ++position_;
  }

  void read_samples(Raster& raster) {
    const std::size_t width = raster.largest > 255 ? 2 : 1;
    const std::size_t count =
        static_cast<std::size_t>(raster.width * raster.height) * static_cast<std::size_t>(raster.channels);
    const std::size_t have = bytes_.size() - position_;
    if (have < count * width) {
      throw DataError(file_ + ": ends after " + with_thousands(bytes_.size()) + " of " +
                      with_thousands(position_ + count * width) + " bytes");
    }
    if (have > count * width) {
      fail(position_ + count * width, with_thousands(have - count * width) + " bytes follow the image");
    }
    raster.samples.resize(count);
    for (std::size_t i = 0; i < count; ++i, position_ += width) {
      unsigned value = std::to_integer<unsigned>(bytes_[position_]);
      if (width == 2) value = value << 8 | std::to_integer<unsigned>(bytes_[position_ + 1]);
      if (value > raster.largest) {
        fail(position_,
             "the value " + std::to_string(value) + " is past the largest one, " + std::to_string(raster.largest));
      }
      raster.samples[i] = static_cast<std::uint16_t>(value);
    }
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  char at() const { return static_cast<char>(bytes_[position_]); }

  void skip_space() {
    bool comment = false;
    for (; position_ < bytes_.size(); ++position_) {
      if (comment) {
        comment = at() != '\n' && at() != '\r';
      } else if (at() == '#') {
        comment = true;
      } else if (!is_space(at())) {
        return;
      }
    }
  }

  [[noreturn]] void fail(std::size_t position, const std::string& message) const {
    throw DataError(file_, position, message);
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::size_t position_ = 2;  // after the magic number
};

}  // namespace

Raster decode_pnm(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted) {
  constexpr unsigned kLargestSide = 1'000'000;
  HADAL_CHECK(bytes.size() >= 2);
  PnmReader reader(bytes, file);
  Raster raster;
  raster.channels = bytes[1] == std::byte{'6'} ? 3 : 1;
  raster.width = reader.number("width", kLargestSide);
  raster.height = reader.number("height", kLargestSide);
  raster.largest = reader.number("largest value", 65535);
  reader.end_header();
  check_size({raster.width, raster.height}, wanted, file);
  reader.read_samples(raster);
  return raster;
}

}  // namespace hadal
