#pragma once
// The JSON in front of a safetensors file.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/safetensors.h"

namespace hadal {

struct SafetensorsHeader {
  Metadata metadata;
  std::vector<SafetensorsEntry> entries;  // in the order of their data
};

// Bytes of one element of a type of the format ("F32", "BF16", ...), or nothing where there is no such type.
std::optional<std::uint64_t> safetensors_element_size(std::string_view type);

// Checks that `text` is the header of `data_size` bytes of data: every tensor's type, shape and offsets agree, no name
// comes twice, and together the tensors cover the data without gap or overlap. Throws DataError naming `file`.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_size, const std::string& file);

// The header of a file, whose data are not read: they begin at byte `data_begin`. Throws DataError.
SafetensorsHeader read_safetensors_header(const InputFile& file, std::uint64_t& data_begin);

}  // namespace hadal
