#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "data/raster.h"

namespace hadal {

// Of one binary PGM (P5) or PPM (P6), as netpbm's manual pages pgm(5) and ppm(5) describe them; of 16 bits the first 8
// are kept, and other largest values become 255. Both throw DataError.
RasterSize pnm_size(std::span<const std::byte> bytes, const std::string& file);
void decode_pnm(std::span<const std::byte> bytes, const std::string& file, Image& image);

}  // namespace hadal
