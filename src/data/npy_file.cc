#include "data/npy_file.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/thousands.h"

namespace hadal {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kLongestWord = 40;  // of a message

// Text of a file, fit for one line of a message.
std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, kLongestWord)) result += c >= ' ' && c <= '~' ? c : '?';
  return result;
}

// Reads the dict as Python would write it, and nothing else of Python.
class HeaderText {
 public:
  HeaderText(std::string_view text, std::size_t begin, const std::string& file)
      : text_(text), begin_(begin), file_(file) {}

  NpyHeader read() {
    NpyHeader header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::size_t at = position_;
      const std::string_view key = quoted();
      expect(':');
      bool* const seen = key == "descr"           ? &has_type
                         : key == "fortran_order" ? &has_order
                         : key == "shape"         ? &has_shape
                                                  : nullptr;
      if (seen == nullptr) fail(at, "the header has an unknown key '" + printable(key) + "'");
      if (std::exchange(*seen, true)) fail(at, "the header has '" + printable(key) + "' twice");
      if (seen == &has_type) header.element = element();
      if (seen == &has_order) check_order();
      if (seen == &has_shape) header.shape = shape();
      if (take('}')) break;
      expect(',');
    }
    for (const auto& [has, name] :
         {std::pair(has_type, "descr"), std::pair(has_order, "fortran_order"), std::pair(has_shape, "shape")}) {
      if (!has) fail(0, std::string("the header has no '") + name + "'");
    }
    skip_space();
    if (position_ != text_.size()) fail(position_, "there is more in the header than a dict");
    return header;
  }

 private:
  [[noreturn]] void fail(std::size_t position, const std::string& message) const {
    throw DataError(file_, begin_ + position, message);
  }

  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
  }

  bool take(char c) {
    skip_space();
    if (position_ == text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(position_, std::string("the header is not a dict of NumPy's here: expected '") + c + "'");
  }

  std::string_view quoted() {
    skip_space();
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'') expect('\'');
    const std::size_t end = text_.find(quote, position_);
    if (end == std::string_view::npos) fail(position_, "a text in the header does not end");
    const std::string_view word = text_.substr(position_, end - position_);
    position_ = end + 1;
    return word;
  }

  Element element() {
    skip_space();
    const std::size_t at = position_;
    if (position_ < text_.size() && text_[position_] == '[') fail(at, "holds records; only plain numbers are read");
    const std::string_view name = quoted();
    if (const auto known = element_of_numpy(name)) return *known;
    if (name.starts_with('>')) {
      fail(at,
           "holds big-endian numbers ('" + printable(name) + "'); save array.astype(array.dtype.newbyteorder('<'))");
    }
    fail(at, "holds '" + printable(name) + "'; whole numbers and floats of 1 to 8 bytes are read");
  }

  void check_order() {
    skip_space();
    if (text_.substr(position_).starts_with("False")) {
      position_ += 5;
      return;
    }
    if (!text_.substr(position_).starts_with("True")) fail(position_, "fortran_order is neither True nor False");
    fail(position_, "is in Fortran's order, samples scattered over the file; save numpy.ascontiguousarray(array)");
  }

  Shape shape() {
    Shape dimensions;
    expect('(');
    while (!take(')')) {
      skip_space();
      std::int64_t dimension = 0;
      const auto [end, error] = std::from_chars(text_.data() + position_, text_.data() + text_.size(), dimension);
      if (error != std::errc() || dimension < 0) fail(position_, "a dimension is not a whole number");
      position_ = static_cast<std::size_t>(end - text_.data());
      dimensions.push_back(dimension);
      if (take(')')) break;
      expect(',');
    }
    return dimensions;
  }

  std::string_view text_;
  std::size_t begin_;  // of the text in the file
  const std::string& file_;
  std::size_t position_ = 0;
};

void check_size(const NpyHeader& header, std::uint64_t file_size, const std::string& file) {
  std::uint64_t bytes = size_of(header.element), expected = 0;
  bool fits = true;
  for (const std::int64_t dimension : header.shape) {
    fits = fits && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes);
  }
  fits = fits && bytes < std::uint64_t{1} << 62 && !__builtin_add_overflow(bytes, header.size, &expected);
  if (!fits) throw DataError(file, 0, "its shape " + to_string(header.shape) + " is too large");
  if (file_size < expected) {
    throw DataError(file + ": ends after " + with_thousands(file_size) + " of " + with_thousands(expected) +
                    " bytes: it holds " + to_string(header.shape) + " of " + to_string(header.element));
  }
  if (file_size > expected) {
    throw DataError(file, expected, with_thousands(file_size - expected) + " bytes follow the array");
  }
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& file) {
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (text.starts_with("PK")) {
    throw DataError(file, 0, "is a .npz archive; unpack it first: unzip " + file);
  }
  if (!text.starts_with(kMagic)) {
    throw DataError(file, 0, "is not a .npy file: it does not begin with \\x93NUMPY");
  }
  const auto need = [&](std::size_t bytes) {
    if (text.size() >= bytes) return;
    if (file_size >= bytes) throw DataError(file, 0, "its header is longer than " + with_thousands(kNpyHeaderLimit));
    throw DataError(file + ": ends after " + std::to_string(file_size) + " of " + with_thousands(bytes) +
                    " bytes of its header");
  };
  need(kMagic.size() + 2);
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t major = byte(6);
  if (major < 1 || major > 3) {
    throw DataError(file, 6, "is of version " + std::to_string(major) + "; versions 1 to 3 are read");
  }
  const std::size_t begin = major == 1 ? 10 : 12;
  need(begin);
  std::uint64_t length = byte(8) | byte(9) << 8;
  if (major > 1) length |= std::uint64_t{byte(10)} << 16 | std::uint64_t{byte(11)} << 24;
  need(begin + length);
  NpyHeader header = HeaderText(text.substr(begin, length), begin, file).read();
  header.size = begin + length;
  check_size(header, file_size, file);
  return header;
}

}  // namespace hadal
