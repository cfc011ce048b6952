#include "data/tar_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/printable.h"

namespace hadal {

namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kLongestText = 1 << 20;  // a name, or attributes
constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 60;

using Header = std::array<std::byte, kBlock>;

// Field [begin, begin + size) up to its first zero.
std::string_view field(const Header& header, std::size_t begin, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(header.data()) + begin, size);
  return all.substr(0, std::min(all.find('\0'), size));
}

// Octal digits between spaces, or, with the first bit set, GNU's big-endian binary number. Nothing where it is neither.
std::optional<std::uint64_t> number(const Header& header, std::size_t begin, std::size_t size) {
  std::uint64_t value = 0;
  if ((header[begin] & std::byte{0x80}) != std::byte{0}) {
    if (header[begin] != std::byte{0x80}) return std::nullopt;
    for (std::size_t i = 1; i < size; ++i) {
      if (value > kLargestFile >> 8) return std::nullopt;
      value = value << 8 | std::to_integer<std::uint64_t>(header[begin + i]);
    }
    return value;
  }
  std::string_view digits = field(header, begin, size);
  while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
  while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
  if (digits.empty()) return 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
  if (error != std::errc() || end != digits.data() + digits.size() || value > kLargestFile) return std::nullopt;
  return value;
}

// The sum of the header's bytes, its own field taken for spaces; some programs add them as signed numbers.
bool has_right_sum(const Header& header) {
  const auto stored = number(header, 148, 8);
  std::int64_t plain = 0, with_signs = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const auto byte = i >= 148 && i < 156 ? std::uint8_t{' '} : std::to_integer<std::uint8_t>(header[i]);
    plain += byte;
    with_signs += static_cast<std::int8_t>(byte);
  }
  return stored && (static_cast<std::int64_t>(*stored) == plain || static_cast<std::int64_t>(*stored) == with_signs);
}

bool is_zero(const Header& header) {
  return std::all_of(header.begin(), header.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

TarReader::TarReader(std::string file, std::uint64_t size, TarBytes bytes, std::uint64_t offset)
    : file_(std::move(file)), size_(size), position_(offset), bytes_(std::move(bytes)) {}

void TarReader::fail(std::uint64_t offset, const std::string& what) const { throw DataError(file_, offset, what); }

std::string TarReader::text(const TarEntry& entry) const {
  if (entry.size > kLongestText) fail(entry.offset, "a name or its attributes are longer than 1 MiB");
  std::string text(entry.size, '\0');
  bytes_(entry.offset, std::as_writable_bytes(std::span(text)));
  return text;
}

// pax: lines of "LENGTH KEY=VALUE\n", where the length counts all of the line.
void TarReader::read_attributes(const std::string& text, const TarEntry& entry, std::optional<std::string>& name,
                                std::optional<std::uint64_t>& size) const {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 0;
    const char* const begin = text.data() + at;
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), length);
    const auto digits = static_cast<std::size_t>(end - begin);
    if (error != std::errc() || length > text.size() - at || length < digits + 2 || *end != ' ' ||
        begin[length - 1] != '\n') {
      fail(entry.offset + at, "this is no pax attribute");
    }
    const std::string_view line(end + 1, length - digits - 2);
    if (line.starts_with("path=")) name = std::string(line.substr(5));
    if (line.starts_with("size=")) {
      std::uint64_t value = 0;
      const auto parsed = std::from_chars(line.data() + 5, line.data() + line.size(), value);
      if (parsed.ec != std::errc() || parsed.ptr != line.data() + line.size() || value > kLargestFile) {
        fail(entry.offset + at, "this pax attribute is no size");
      }
      size = value;
    }
    at += length;
  }
}

// What follows a block of zeros are zeros, or a header was overwritten by them, or archives were joined by cat.
void TarReader::check_end() const {
  std::vector<std::byte> bytes(std::min<std::uint64_t>(size_ - position_, 64 << 10));
  for (std::uint64_t at = position_; at < size_; at += bytes.size()) {
    bytes.resize(std::min<std::uint64_t>(size_ - at, bytes.size()));
    bytes_(at, bytes);
    const auto other = std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; });
    if (other == bytes.end()) continue;
    fail(position_,
         fmt::format("zeros end the archive here, but it goes on at byte {}: a header is damaged, or archives "
                     "were joined by other means than tar's",
                     at + static_cast<std::uint64_t>(other - bytes.begin())));
  }
}

std::optional<TarEntry> TarReader::next() {
  std::optional<std::string> long_name, pax_name;
  std::optional<std::uint64_t> pax_size;
  std::uint64_t begin = position_;
  while (position_ < size_) {
    if (size_ - position_ < kBlock) fail(position_, "the archive ends within a header");
    Header header;
    bytes_(position_, header);
    if (is_zero(header)) {
      check_end();
      break;
    }
    if (header[0] == std::byte{0x1f} && header[1] == std::byte{0x8b}) {
      fail(position_, "is compressed by gzip; shards are read as they are: unpack it with gzip -d");
    }
    if (!has_right_sum(header)) fail(position_, "this is no header of a tar archive, or a damaged one");
    const auto size = number(header, 124, 12);
    if (!size) fail(position_ + 124, "this is no size of a file");
    const char type = static_cast<char>(header[156]);
    TarEntry entry{.name = "", .header = begin, .offset = position_ + kBlock, .size = *size};
    // Links and the like have no bytes, whatever size they tell; pax's size is of the file, not of its attributes.
    if (type >= '1' && type <= '6') entry.size = 0;
    const bool is_file = type == '0' || type == '\0' || type == '7';
    if (is_file && pax_size) entry.size = *pax_size;
    if (entry.size > size_ - entry.offset) fail(position_, "the archive ends within this file");
    position_ = std::min(entry.end(), size_);
    switch (type) {
      case 'L':
        long_name = text(entry);
        long_name->resize(std::min(long_name->find('\0'), long_name->size()));
        continue;
      case 'x':
        read_attributes(text(entry), entry, pax_name, pax_size);
        continue;
      case 'K':
      case 'g':
        continue;
      case 'S':
        fail(entry.header, "a sparse file, as GNU tar writes with --sparse; make the archive without it");
      default:
        break;
    }
    if (is_file) {
      const std::string_view prefix = field(header, 345, 155), name = field(header, 0, 100);
      const bool is_ustar = field(header, 257, 6) == "ustar";  // GNU's has "ustar " and other things in the prefix
      entry.name = is_ustar && !prefix.empty() ? fmt::format("{}/{}", prefix, name) : std::string(name);
      if (long_name) entry.name = *long_name;
      if (pax_name) entry.name = *pax_name;
      entry.name = printable(entry.name);
      return entry;
    }
    long_name.reset();
    pax_name.reset();
    pax_size.reset();
    begin = position_;
  }
  position_ = size_;
  return std::nullopt;
}

}  // namespace hadal
