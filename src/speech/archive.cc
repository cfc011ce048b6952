#include "speech/archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/printable.h"
#include "base/thousands.h"

namespace hadal {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::size_t kWindow = 1 << 16, kLongestWord = 4096;

bool is_blank(int c) { return c == ' ' || c == '\t' || c == '\r'; }

// A word of a file, fit for a message.
std::string quoted_word(const std::string& word) {
  constexpr std::size_t kMost = 40;
  return fmt::format("'{}{}'", printable(word.substr(0, kMost)), word.size() > kMost ? "..." : "");
}

// One column of a compressed matrix: between four percentiles, numbers are spread evenly.
struct CompressedColumn {
  float p0 = 0, p25 = 0, p75 = 0, p100 = 0;

  float value(std::uint8_t code) const {
    const double at = code;
    const auto between = [](float low, float high, double share) {
      return static_cast<float>(static_cast<double>(low) + static_cast<double>(high - low) * share);
    };
    if (code <= 64) return between(p0, p25, at / 64);
    if (code <= 192) return between(p25, p75, (at - 64) / 128);
    return between(p75, p100, (at - 192) / 63);
  }
};

}  // namespace

ArchiveReader::ArchiveReader(const std::string& path, const Position& where)
    : file_(path), input_(std::in_place, path, where), size_(input_->size()) {}

ArchiveReader::ArchiveReader(std::span<const std::byte> bytes, std::string file)
    : file_(std::move(file)), window_(bytes), size_(bytes.size()) {}

void ArchiveReader::fail(const std::string& what) const { throw DataError(file_, offset(), what); }

// So many of the next bytes, or those that there are, lie in the window then.
std::size_t ArchiveReader::available(std::size_t bytes) {
  if (input_ && window_.size() - position_ < bytes && left() > window_.size() - position_) {
    begin_ += position_;
    position_ = 0;
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size_ - begin_, std::max(bytes, kWindow))));
    window_ = {};
    input_->read(begin_, buffer_);
    window_ = buffer_;
  }
  return std::min(bytes, window_.size() - position_);
}

int ArchiveReader::peek(std::size_t ahead) {
  if (available(ahead + 1) <= ahead) return -1;
  return std::to_integer<int>(window_[position_ + ahead]);
}

void ArchiveReader::read(std::span<std::byte> bytes, const char* what) {
  if (left() < bytes.size()) fail(fmt::format("the file ends within {}", what));
  const std::size_t ready = std::min(bytes.size(), window_.size() - position_);
  std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(position_), ready, bytes.begin());
  position_ += ready;
  if (ready == bytes.size()) return;
  const std::uint64_t at = offset();
  input_->read(at, bytes.subspan(ready));
  begin_ = at + bytes.size() - ready;
  window_ = {};
  position_ = 0;
}

void ArchiveReader::seek(std::uint64_t offset) {
  if (offset >= size_) {
    throw DataError(fmt::format("{}: has {} bytes; there is nothing at byte {}, where an index says a value begins",
                                file_, with_thousands(size_), with_thousands(offset)));
  }
  if (!input_) {
    position_ = static_cast<std::size_t>(offset);
    return;
  }
  begin_ = offset;
  window_ = {};
  position_ = 0;
}

std::optional<std::string> ArchiveReader::next_key() {
  while (is_blank(peek()) || peek() == '\n') ++position_;
  if (peek() < 0) return std::nullopt;
  std::string key;
  for (int c = peek(); !is_blank(c) && c != '\n'; c = peek()) {
    if (c < 0) fail("the file ends within a key");
    if (c < ' ' || key.size() == kLongestWord) fail("is not an archive of Kaldi's: a key is expected here");
    key += static_cast<char>(c);
    ++position_;
  }
  if (peek() != '\n') ++position_;  // a list without numbers ends the line
  return key;
}

template <typename T>
T ArchiveReader::number(const char* what) {
  T value{};
  read(std::as_writable_bytes(std::span(&value, 1)), what);
  return value;
}

std::int32_t ArchiveReader::sized_integer(const char* what) {
  if (peek() != 4) fail(fmt::format("{} is expected, a whole number of 4 bytes", what));
  ++position_;
  return number<std::int32_t>(what);
}

bool ArchiveReader::begins_binary() {
  if (peek() != 0 || peek(1) != 'B') return false;
  position_ += 2;
  return true;
}

std::string ArchiveReader::binary_kind() {
  std::string kind;
  for (int c = peek(); c != ' '; c = peek()) {
    if (c < 0 || kind.size() == 4) fail("a binary value does not say what it is; is the index of another archive?");
    kind += static_cast<char>(c);
    ++position_;
  }
  ++position_;
  return kind;
}

void ArchiveReader::check_size(std::int64_t rows, std::int64_t columns, std::uint64_t bytes_each,
                               std::uint64_t more) const {
  if (rows < 0 || columns < 0 || (rows == 0) != (columns == 0)) {
    fail(fmt::format("{} rows of {} numbers are no matrix", rows, columns));
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(columns);  // below 2^62
  if (bytes > left() / bytes_each || bytes * bytes_each + more > left()) {
    fail(fmt::format("the file ends within a value: {} rows of {} numbers are expected, but {} bytes are left", rows,
                     columns, with_thousands(left())));
  }
}

template <typename T>
void ArchiveReader::fill(std::span<float> values) {
  std::array<T, 1024> block;
  while (!values.empty()) {
    const std::span<T> part(block.data(), std::min(values.size(), block.size()));
    read(std::as_writable_bytes(part), "a value");
    std::transform(part.begin(), part.end(), values.begin(), [](T value) { return static_cast<float>(value); });
    values = values.subspan(part.size());
  }
}

FeatureMatrix ArchiveReader::matrix() {
  if (!begins_binary()) return text_matrix();
  const std::string kind = binary_kind();
  if (kind == "CM" || kind == "CM2" || kind == "CM3") return compressed(kind);
  if (kind != "FM" && kind != "DM") {
    fail(fmt::format("holds {} where a matrix is expected (FM, DM, CM, CM2 or CM3)", quoted_word(kind)));
  }
  const std::int32_t rows = sized_integer("the count of rows"), columns = sized_integer("the count of columns");
  check_size(rows, columns, kind == "FM" ? 4 : 8);
  FeatureMatrix result(rows, columns);
  if (kind == "FM") {
    read(std::as_writable_bytes(std::span(result.values)), "a matrix");
  } else {
    fill<double>(result.values);
  }
  return result;
}

FeatureMatrix ArchiveReader::compressed(const std::string& kind) {
  const auto least = number<float>("a matrix"), range = number<float>("a matrix");
  const auto rows = number<std::int32_t>("a matrix"), columns = number<std::int32_t>("a matrix");
  const bool by_column = kind == "CM", two_bytes = kind == "CM2";
  check_size(rows, columns, two_bytes ? 2 : 1, by_column ? 8 * static_cast<std::uint64_t>(std::max(columns, 0)) : 0);
  FeatureMatrix result(rows, columns);
  if (by_column) {
    std::vector<CompressedColumn> heads(static_cast<std::size_t>(columns));
    for (CompressedColumn& head : heads) {
      for (float* percentile : {&head.p0, &head.p25, &head.p75, &head.p100}) {
        *percentile = least + range * 1.52590218966964e-05f * static_cast<float>(number<std::uint16_t>("a matrix"));
      }
    }
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows));
    for (std::size_t column = 0; column < heads.size(); ++column) {
      read(std::as_writable_bytes(std::span(codes)), "a matrix");
      for (std::size_t row = 0; row < codes.size(); ++row) {
        result.values[row * heads.size() + column] = heads[column].value(codes[row]);
      }
    }
    return result;
  }
  if (two_bytes) {
    fill<std::uint16_t>(result.values);
  } else {
    fill<std::uint8_t>(result.values);
  }
  const auto step = static_cast<float>(static_cast<double>(range) / (two_bytes ? 65535 : 255));
  for (float& value : result.values) value = least + value * step;
  return result;
}

std::vector<float> ArchiveReader::vector() {
  if (!begins_binary()) {
    std::vector<float> values;
    if (word() != "[") fail(quoted_word(word_) + " stands where a vector begins with [");
    while (word() != "]") values.push_back(text_number());
    return values;
  }
  const std::string kind = binary_kind();
  if (kind != "FV" && kind != "DV") {
    fail(fmt::format("holds {} where a vector is expected (FV or DV)", quoted_word(kind)));
  }
  const std::int32_t size = sized_integer("the size of a vector");
  if (size < 0) fail("the size of a vector is negative");
  check_size(size, size == 0 ? 0 : 1, kind == "FV" ? 4 : 8);
  std::vector<float> values(static_cast<std::size_t>(size));
  if (kind == "FV") {
    fill<float>(values);
  } else {
    fill<double>(values);
  }
  return values;
}

std::vector<std::int32_t> ArchiveReader::integers() {
  std::vector<std::int32_t> values;
  if (begins_binary()) {
    const std::int32_t size = sized_integer("the size of a list");
    if (size < 0) fail("the size of a list is negative");
    check_size(size, size == 0 ? 0 : 1, 5);
    for (std::int32_t i = 0; i < size; ++i) values.push_back(sized_integer("a number of a list"));
    return values;
  }
  while (!word().empty() && word_ != "\n") {
    std::int32_t value = 0;
    const auto [end, error] = std::from_chars(word_.data(), word_.data() + word_.size(), value);
    if (error != std::errc() || end != word_.data() + word_.size()) {
      fail(quoted_word(word_) + " is not a whole number of a list");
    }
    values.push_back(value);
  }
  return values;
}

// The next word of a text, or one of [ ] ; and the line's end; empty at the end of the file.
const std::string& ArchiveReader::word() {
  static constexpr std::string_view kAlone = "[];\n";
  const auto is_alone = [](int c) { return c > 0 && kAlone.find(static_cast<char>(c)) != std::string_view::npos; };
  while (is_blank(peek())) ++position_;
  word_.clear();
  if (is_alone(peek())) {
    word_ = static_cast<char>(peek());
    ++position_;
    return word_;
  }
  for (int c = peek(); c >= 0 && !is_blank(c) && !is_alone(c); c = peek()) {
    if (word_.size() == kLongestWord) fail("a word of a text is too long");
    word_ += static_cast<char>(c);
    ++position_;
  }
  return word_;
}

// Of the word that was read.
float ArchiveReader::text_number() {
  if (word_.empty()) fail("the file ends within a value");
  double value = 0;
  const auto [end, error] = std::from_chars(word_.data(), word_.data() + word_.size(), value);
  if (error != std::errc() || end != word_.data() + word_.size()) {
    fail((word_ == "\n" ? "the line's end" : quoted_word(word_)) + " stands where a number is expected");
  }
  return static_cast<float>(value);
}

FeatureMatrix ArchiveReader::text_matrix() {
  if (word() != "[") fail(quoted_word(word_) + " stands where a matrix begins with [");
  FeatureMatrix result;
  std::int64_t columns = 0;
  const auto end_row = [&] {
    if (columns == 0) return;
    if (result.frames > 0 && columns != result.dim) {
      fail(fmt::format("row {} of a matrix has {} numbers, those before have {}", result.frames + 1, columns,
                       result.dim));
    }
    result.dim = columns;
    ++result.frames;
    columns = 0;
  };
  while (word() != "]") {
    if (word_ == "\n" || word_ == ";") {
      end_row();
      continue;
    }
    result.values.push_back(text_number());
    ++columns;
  }
  end_row();
  return result;
}

namespace {

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_sized(std::string& bytes, std::size_t value) {
  HADAL_CHECK(value <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
  bytes += '\4';
  append(bytes, static_cast<std::int32_t>(value));
}

void append_numbers(std::string& bytes, std::span<const float> values, ArchiveNumber number) {
  if (number == ArchiveNumber::f32) {
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    return;
  }
  for (const float value : values) append(bytes, static_cast<double>(value));
}

}  // namespace

ArchiveWriter::ArchiveWriter(const std::string& archive, const std::string& index, const std::string& named)
    : archive_(archive), named_(named.empty() ? archive : named) {
  if (!index.empty()) index_.emplace(index);
}

void ArchiveWriter::begin(std::string_view key) {
  HADAL_CHECK(!key.empty() && key.find_first_of(" \t\r\n") == std::string_view::npos);
  put(std::string(key) + ' ');
  if (index_) index_->write(fmt::format("{} {}:{}\n", key, named_, offset_));
  put(std::string_view("\0B", 2));
}

void ArchiveWriter::put(std::string_view bytes) {
  offset_ += bytes.size();
  pending_ += bytes;
  if (pending_.size() < std::size_t{1} << 20) return;
  archive_.write(pending_);
  pending_.clear();
}

void ArchiveWriter::write(std::string_view key, const FeatureMatrix& matrix, ArchiveNumber number) {
  begin(key);
  std::string bytes = number == ArchiveNumber::f32 ? "FM " : "DM ";
  append_sized(bytes, static_cast<std::size_t>(matrix.frames));
  append_sized(bytes, static_cast<std::size_t>(matrix.frames == 0 ? 0 : matrix.dim));
  append_numbers(bytes, matrix.values, number);
  put(bytes);
}

void ArchiveWriter::write(std::string_view key, std::span<const float> vector, ArchiveNumber number) {
  begin(key);
  std::string bytes = number == ArchiveNumber::f32 ? "FV " : "DV ";
  append_sized(bytes, vector.size());
  append_numbers(bytes, vector, number);
  put(bytes);
}

void ArchiveWriter::write(std::string_view key, std::span<const std::int32_t> integers) {
  begin(key);
  std::string bytes;
  append_sized(bytes, integers.size());
  for (const std::int32_t value : integers) {
    bytes += '\4';
    append(bytes, value);
  }
  put(bytes);
}

void ArchiveWriter::commit() {
  archive_.write(pending_);
  archive_.commit();
  if (index_) index_->commit();
}

std::pair<std::string, std::uint64_t> split_archive_place(const std::string& place) {
  const std::size_t colon = place.rfind(':');
  if (colon == std::string::npos || colon + 1 == place.size()) return {place, 0};
  std::uint64_t offset = 0;
  const char* const last = place.data() + place.size();
  const auto [end, error] = std::from_chars(place.data() + colon + 1, last, offset);
  if (error != std::errc() || end != last) return {place, 0};
  return {place.substr(0, colon), offset};
}

}  // namespace hadal
