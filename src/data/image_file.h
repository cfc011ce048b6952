#pragma once
// One image file as the input of a network.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "spec/image_spec.h"
#include "tensor/tensor.h"

namespace hadal {

// What a source with this `spec` would make of it, with nothing at random: the crop is the centre. Without one its
// pixels, x / 255, where it has the size of the input, [1 or 3, height, width].
//
// Throws ConfigError where the file cannot be opened or `input` is no image's shape, DataError where the file is wrong.
std::vector<float> read_image(const std::string& path, const Shape& input, const ImageSpec* spec = nullptr);

// The same from bytes; `file` names them in errors.
std::vector<float> decode_image(std::span<const std::byte> bytes, const std::string& file, const Shape& input,
                                const ImageSpec* spec = nullptr);

}  // namespace hadal
