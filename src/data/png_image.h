#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "data/raster.h"

namespace hadal {

// Of a PNG, by libpng: palettes become colours, 1, 2 and 4 bits of gray become 8, of 16 bits the first 8 are kept,
// transparency is dropped. Both throw DataError.
RasterSize png_size(std::span<const std::byte> bytes, const std::string& file);
void decode_png(std::span<const std::byte> bytes, const std::string& file, Image& image);

}  // namespace hadal
