#pragma once
// Kaldi's archives (ark) and their indices (scp): tables of matrices, vectors or lists of whole numbers by key.
//
//   archive   a key, a space, and a value, one after the other
//   value     binary: \0 B, then
//               FM , DM    \4 i32 rows, \4 i32 columns, f32 or f64, row-major
//               FV , DV    \4 i32 size, f32 or f64
//               CM         f32 least, f32 range, i32 rows, i32 columns; of each column four u16, its percentiles 0,
//                          25, 75 and 100; a byte a number, column by column
//               CM2, CM3   the same head; u16 or u8 a number, row-major
//               \4 i32     size of a list of whole numbers, then \4 i32 each
//             text: [ rows ended by newlines or ';' ], [ numbers ], or whole numbers up to the end of the line
//   index     a line each: a key, spaces, FILE:OFFSET (of the value)
//
// All binary numbers are little-endian.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "speech/feature_matrix.h"

namespace hadal {

// Reads values in order, or from an offset on. Functions throw DataError with file and byte where bytes are wrong, and
// allocate no more than what is in the file accounts for. Numbers may be infinite or NaN, as they are in the file.
class ArchiveReader {
 public:
  // Throws ConfigError (at `where`) where the file cannot be opened.
  explicit ArchiveReader(const std::string& path, const Position& where = {});
  // Of bytes that outlive this object; `file` names them.
  ArchiveReader(std::span<const std::byte> bytes, std::string file);

  // The key of the next value, which is then read by one of the functions below; nothing at the end.
  [[nodiscard]] std::optional<std::string> next_key();

  FeatureMatrix matrix();  // doubles are rounded; compressed ones too
  std::vector<float> vector();
  std::vector<std::int32_t> integers();

  // To a value. Throws DataError where it lies behind the end.
  void seek(std::uint64_t offset);

  std::uint64_t offset() const { return begin_ + position_; }

 private:
  std::size_t available(std::size_t bytes);
  std::uint64_t left() const { return size_ - offset(); }
  int peek(std::size_t ahead = 0);  // a byte, or -1 at the end
  void read(std::span<std::byte> bytes, const char* what);
  template <typename T>
  T number(const char* what);
  std::int32_t sized_integer(const char* what);
  bool begins_binary();
  std::string binary_kind();
  void check_size(std::int64_t rows, std::int64_t columns, std::uint64_t bytes_each, std::uint64_t more = 0) const;
  template <typename T>
  void fill(std::span<float> values);
  FeatureMatrix compressed(const std::string& kind);
  const std::string& word();
  float text_number();
  FeatureMatrix text_matrix();
  [[noreturn]] void fail(const std::string& what) const;

  std::string file_;
  std::optional<InputFile> input_;
  std::span<const std::byte> window_;  // of the file, from begin_ on; position_ is in it
  std::vector<std::byte> buffer_;
  std::uint64_t begin_ = 0, size_ = 0;
  std::size_t position_ = 0;
  std::string word_;
};

enum class ArchiveNumber { f32, f64 };

// Writes an archive and, where `index` is not empty, its index; both appear when commit() is called. `named` is what
// the index calls the archive. Throws StorageError.
class ArchiveWriter {
 public:
  ArchiveWriter(const std::string& archive, const std::string& index = "", const std::string& named = "");

  // A key has no blanks and is not empty.
  void write(std::string_view key, const FeatureMatrix& matrix, ArchiveNumber number = ArchiveNumber::f32);
  void write(std::string_view key, std::span<const float> vector, ArchiveNumber number = ArchiveNumber::f32);
  void write(std::string_view key, std::span<const std::int32_t> integers);
  void commit();

 private:
  void begin(std::string_view key);
  void put(std::string_view bytes);

  AtomicFile archive_;
  std::optional<AtomicFile> index_;
  std::string named_;
  std::uint64_t offset_ = 0;
  std::string pending_;
};

// FILE:OFFSET taken apart; without an offset, 0.
std::pair<std::string, std::uint64_t> split_archive_place(const std::string& place);

}  // namespace hadal
