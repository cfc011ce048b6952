#pragma once
// The IDX format of the MNIST files (yann.lecun.com/exdb/mnist), for unsigned bytes:
//
//   0, 0, 0x08, rank      magic number
//   u32[rank]             dimensions, big-endian; the first counts the samples
//   u8[...]               values, row-major, to the end of the file

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "tensor/tensor.h"

namespace hadal {

enum class IdxContent { images, labels };  // rank >= 2, rank 1

inline constexpr std::size_t kIdxHeaderLimit = 4 + 4 * 255;

struct IdxHeader {
  Shape shape;             // with the samples in front
  std::size_t size = 0;    // of the header: where the values begin
  std::size_t sample = 0;  // bytes of one
};

// Checks the header and the file's size against each other. `start` holds the first min(kIdxHeaderLimit, file_size)
// bytes. Throws DataError naming `file`.
IdxHeader parse_idx_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& file,
                           IdxContent content);

// A whole file in memory.
class IdxFile {
 public:
  // Throws ConfigError (at `where`) where the file cannot be opened, DataError where it is wrong.
  IdxFile(const std::string& path, IdxContent content, const Position& where);

  const std::string& path() const { return path_; }
  const IdxHeader& header() const { return header_; }
  std::int64_t size() const { return header_.shape[0]; }  // >= 1
  std::span<const std::uint8_t> sample(std::int64_t i) const {
    return {values_.get() + static_cast<std::size_t>(i) * header_.sample, header_.sample};
  }

 private:
  std::string path_;
  IdxHeader header_;
  std::unique_ptr<std::uint8_t[]> values_;
};

}  // namespace hadal
