#pragma once
// The keys by which image files become samples.

#include "spec/image_spec.h"
#include "spec/keys.h"

namespace hadal {

Keys<ImageSpec> image_keys();

// What depends on more than one of them, or on whether it is data.test; `path` is the source's, `where` its position.
// Throws ConfigError.
void check_image(ImageSpec& image, bool is_test, const std::string& path, const Position& where);

// How a model file holds it. `file` names that in errors; throws DataError.
std::string image_to_json(const ImageSpec& image);
ImageSpec image_from_json(const std::string& json, const std::string& file);

}  // namespace hadal
