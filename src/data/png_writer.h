#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hadal {

using PngColour = std::array<std::uint8_t, 3>;  // red, green, blue

// A PNG file of `height` rows of indices into `palette`, of 1 to 256 colours. Throws StorageError where libpng cannot.
std::string png_bytes(std::span<const std::uint8_t> indices, std::uint32_t width, std::uint32_t height,
                      std::span<const PngColour> palette);

}  // namespace hadal
