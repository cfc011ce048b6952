#include "data/pnm_image.h"

#include <cstring>

#include "base/error.h"
#include "base/thousands.h"

namespace hadal {

namespace {

class PnmReader {
 public:
  PnmReader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {
    HADAL_CHECK(bytes.size() >= 2);
  }

  // Returns the image's size.
  RasterSize read_header() {
    constexpr unsigned kLargestSide = 1'000'000;
    const unsigned width = number("width", kLargestSide), height = number("height", kLargestSide);
    largest_ = number("largest value", 65535);
    if (position_ == bytes_.size() || !is_space(at())) fail(position_, "the header does not end with white space");
    ++position_;
    const RasterSize size{width, height};
    check_size(size, file_);
    return size;
  }

  int channels() const { return bytes_[1] == std::byte{'6'} ? 3 : 1; }

  void read_samples(std::span<std::uint8_t> pixels) {
    const std::size_t width = largest_ > 255 ? 2 : 1, bytes = pixels.size() * width;
    const std::size_t have = bytes_.size() - position_;
    if (have < bytes) {
      throw DataError(file_ + ": ends after " + with_thousands(bytes_.size()) + " of " +
                      with_thousands(position_ + bytes) + " bytes");
    }
    if (have > bytes) fail(position_ + bytes, with_thousands(have - bytes) + " bytes follow the image");
    if (largest_ == 255) {
      std::memcpy(pixels.data(), bytes_.data() + position_, bytes);
      return;
    }
    for (std::uint8_t& pixel : pixels) {
      unsigned value = std::to_integer<unsigned>(bytes_[position_]);
      if (width == 2) value = value << 8 | std::to_integer<unsigned>(bytes_[position_ + 1]);
      if (value > largest_) {
        fail(position_, "the value " + std::to_string(value) + " is past the largest one, " + std::to_string(largest_));
      }
      pixel = static_cast<std::uint8_t>(largest_ == 65535 ? value >> 8 : value * 255 / largest_);
      position_ += width;
    }
  }

 private:
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
  unsigned largest_ = 255;
};

}  // namespace

RasterSize pnm_size(std::span<const std::byte> bytes, const std::string& file) {
  return PnmReader(bytes, file).read_header();
}

void decode_pnm(std::span<const std::byte> bytes, const std::string& file, Image& image) {
  PnmReader reader(bytes, file);
  image.begin(reader.read_header(), reader.channels());
  reader.read_samples(
      std::span(image.pixels).first(static_cast<std::size_t>(image.width * image.height * image.channels)));
}

}  // namespace hadal
