#pragma once
// The keys by which image files become samples.

#include "spec/image_spec.h"
#include "spec/keys.h"

namespace hadal {

Keys<ImageSpec> image_keys();

// What depends on more than one of them; `path` is the source's, `where` its position. Throws ConfigError.
void check_image(ImageSpec& image, const std::string& path, const Position& where);

}  // namespace hadal
