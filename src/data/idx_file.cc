#include "data/idx_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <vector>

#include "base/file.h"
#include "base/thousands.h"

namespace hadal {

namespace {

constexpr unsigned kUnsignedBytes = 0x08;

unsigned byte_at(std::span<const std::byte> bytes, std::size_t i) { return std::to_integer<unsigned>(bytes[i]); }

std::uint32_t big_endian(std::span<const std::byte> bytes, std::size_t at) {
  return byte_at(bytes, at) << 24 | byte_at(bytes, at + 1) << 16 | byte_at(bytes, at + 2) << 8 | byte_at(bytes, at + 3);
}

std::string hexadecimal(std::uint32_t number, int digits) {
  std::string text = "0x";
  for (int i = digits - 1; i >= 0; --i) text += "0123456789abcdef"[number >> (4 * i) & 15];
  return text;
}

const char* element_name(unsigned type) {
  switch (type) {
    case 0x09:
      return "signed bytes";
    case 0x0B:
      return "16-bit integers";
    case 0x0C:
      return "32-bit integers";
    case 0x0D:
      return "32-bit floats";
    case 0x0E:
      return "64-bit floats";
    default:
      return nullptr;
  }
}

void check_magic(std::span<const std::byte> start, const std::string& file, IdxContent content) {
  const bool images = content == IdxContent::images;
  const unsigned type = byte_at(start, 2), rank = byte_at(start, 3);
  const bool known_type = type == kUnsignedBytes || element_name(type) != nullptr;
  if (byte_at(start, 0) != 0 || byte_at(start, 1) != 0 || !known_type || rank == 0) {
    throw DataError(file, 0,
                    "is not an IDX file: the magic number is " + hexadecimal(big_endian(start, 0), 8) + ", expected " +
                        (images ? "0x00000803 (images)" : "0x00000801 (labels)"));
  }
  if (type != kUnsignedBytes) {
    throw DataError(file, 2, std::string("holds ") + element_name(type) + "; only unsigned bytes (0x08) are read");
  }
  if (images && rank == 1) {
    throw DataError(file, 3, "holds labels where images are expected; are data's images and labels swapped?");
  }
  if (!images && rank != 1) {
    throw DataError(file, 3, "holds images where labels are expected; are data's images and labels swapped?");
  }
}

}  // namespace

IdxHeader parse_idx_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& file,
                           IdxContent content) {
  const std::string noun = content == IdxContent::images ? "image" : "label";
  if (start.size() >= 2 && byte_at(start, 0) == 0x1f && byte_at(start, 1) == 0x8b) {
    throw DataError(file + ": is compressed; unpack it first: gunzip " + file);
  }
  const auto need = [&](std::size_t bytes) {
    if (start.size() >= bytes) return;
    throw DataError(file + ": ends after " + std::to_string(file_size) + " of " + std::to_string(bytes) +
                    " bytes of its header");
  };
  need(4);
  check_magic(start, file, content);
  const std::size_t rank = byte_at(start, 3);

  IdxHeader header;
  header.size = 4 + 4 * rank;
  need(header.size);
  for (std::size_t i = 0; i < rank; ++i) header.shape.push_back(big_endian(start, 4 + 4 * i));
  if (header.shape[0] == 0) throw DataError(file, 4, "holds no " + noun + "s");
  std::uint64_t sample = 1, values = 0, expected = 0;
  bool fits = true;
  for (std::size_t i = 1; i < rank; ++i) {
    fits = fits && !__builtin_mul_overflow(sample, static_cast<std::uint64_t>(header.shape[i]), &sample);
  }
  fits = fits && !__builtin_mul_overflow(sample, static_cast<std::uint64_t>(header.shape[0]), &values) &&
         !__builtin_add_overflow(values, header.size, &expected);
  if (!fits) throw DataError(file, 4, "its dimensions " + to_string(header.shape) + " are too large");
  if (sample == 0) throw DataError(file, 8, "its images are empty: the dimensions are " + to_string(header.shape));
  header.sample = sample;

  if (file_size < expected) {
    const std::uint64_t left = file_size - header.size;
    throw DataError(file + ": ends after " + with_thousands(file_size) + " of " + with_thousands(expected) +
                    " bytes (" + noun + " " + with_thousands(left / sample) +
                    (left % sample > 0 ? " is incomplete)" : " is missing)"));
  }
  if (file_size > expected) {
    throw DataError(file, expected,
                    with_thousands(file_size - expected) + " bytes follow the last of " +
                        with_thousands(static_cast<std::uint64_t>(header.shape[0])) + " " + noun + "s");
  }
  return header;
}

IdxFile::IdxFile(const std::string& path, IdxContent content, const Position& where) : path_(path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) && std::filesystem::exists(path + ".gz", ignored)) {
    throw ConfigError(where,
                      "cannot open " + path + ": No such file or directory; unpack " + path + ".gz first (gunzip)");
  }
  const InputFile input(path, where);
  std::array<std::byte, kIdxHeaderLimit> bytes;
  const std::span<std::byte> start(bytes.data(), std::min<std::uint64_t>(bytes.size(), input.size()));
  input.read(0, start);
  header_ = parse_idx_header(start, input.size(), path, content);
  const std::size_t size = input.size() - header_.size;
  try {
    values_ = std::make_unique_for_overwrite<std::uint8_t[]>(size);
  } catch (const std::bad_alloc&) {
    throw DataError(path + ": there is no memory for its " + with_thousands(input.size()) + " bytes");
  }
  input.read(header_.size, std::as_writable_bytes(std::span(values_.get(), size)));
}

}  // namespace hadal
