#pragma once
// The safetensors format (huggingface.co/docs/safetensors), read strictly and written so that equal tensors make equal
// files:
//
//   u64, little-endian    length of the header
//   header                JSON: {"__metadata__": {name: text}, tensor: {"dtype", "shape", "data_offsets"}, ...}
//   data                  the tensors, little-endian and row-major, one after the other without gaps

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace hadal {

inline constexpr std::uint64_t kSafetensorsHeaderLimit = 100'000'000;

// A view of a tensor's values. They may start at any address: copy them out, do not cast the pointer.
struct TensorData {
  std::string name;
  DType type = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;
};

using Metadata = std::map<std::string, std::string>;

// Writes through an AtomicFile, so throws StorageError and never leaves half a file. Tensors stand in the given order;
// the header is padded with spaces to a multiple of 8. Names differ, and sizes are those of the shapes. What is not
// UTF-8 in names and metadata becomes U+FFFD.
void write_safetensors(const std::string& path, const Metadata& metadata, const std::vector<TensorData>& tensors);

// A tensor as the header states it; `type` may be one that this program only knows the size of ("BF16").
struct SafetensorsEntry {
  std::string name, type;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // in the data
};

// A whole file in memory. Immutable, so any thread may read it.
class SafetensorsFile {
 public:
  // Throws ConfigError where the file cannot be opened (at `where`, the place that named it), and DataError where
  // anything in it is not as the format has it: the header is checked before the data is read.
  static SafetensorsFile open(const std::string& path, const Position& where = {});

  // The same from bytes; `file` names them in errors.
  static SafetensorsFile parse(std::string file, std::vector<std::byte> bytes);

  const std::string& file() const { return file_; }
  const Metadata& metadata() const { return metadata_; }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in the order of their data
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return index_.contains(name); }

  // A view into this object. Throws DataError where there is no such tensor, or it is of another type than DType has.
  TensorData tensor(const std::string& name) const;

  // Copies a tensor out. Throws DataError where it is missing, not F32, or of another shape.
  void copy_floats(const std::string& name, const Shape& shape, std::span<float> values) const;

 private:
  SafetensorsFile() = default;
  void read_header(std::span<const std::byte> header, std::uint64_t data_size);

  std::string file_;
  Metadata metadata_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::size_t> index_;  // of entries_
  std::vector<std::byte> bytes_;
  std::size_t data_begin_ = 0;
};

}  // namespace hadal
