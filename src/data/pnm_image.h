#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "data/raster.h"

namespace hadal {

// Decodes one binary PGM (P5) or PPM (P6), as netpbm's manual pages pgm(5) and ppm(5) describe them. Throws DataError.
Raster decode_pnm(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted);

}  // namespace hadal
