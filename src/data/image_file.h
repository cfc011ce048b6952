#pragma once
// Image files as the input of a network: JPEG, PNG, PGM (P5) and PPM (P6).

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/raster.h"
#include "tensor/tensor.h"

namespace hadal {

inline constexpr std::uint64_t kImageFileLimit = 256'000'000;

// The pixels as [C, H, W] values in [0, 1]: a sample of 8 bits becomes x / 255, one of 16 bits x / 65535 (PGM and PPM:
// x over the file's largest value). Colour becomes gray by the luma of ITU-R BT.601, gray becomes colour by repeating
// it; transparency is dropped. `input` is [C, H, W] with C = 1 or 3, and the image's size must be its: nothing is
// scaled.
//
// Throws ConfigError where the file cannot be opened or `input` is no image's shape, DataError where the file is wrong.
std::vector<float> read_image(const std::string& path, const Shape& input);

// The same from bytes; `file` names them in errors.
std::vector<float> decode_image(std::span<const std::byte> bytes, const std::string& file, const Shape& input);

bool is_jpeg(std::span<const std::byte> bytes);

// The pixels alone, of an image of the wanted size. Throws DataError.
Raster decode_raster(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted);

}  // namespace hadal
