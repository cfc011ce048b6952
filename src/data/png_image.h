#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "data/raster.h"

namespace hadal {

// Decodes a PNG by libpng: palettes become colours, 1, 2 and 4 bits of gray become 8, transparency is dropped. Throws
// DataError.
Raster decode_png(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted);

}  // namespace hadal
