#pragma once

#include <memory>

#include "data/encoded.h"

namespace hadal {

// The image files of a folder. Without a list its folders are the classes, in the order of their names, byte by byte,
// or numbered as those of options.class_folders are, and hold the files, at any depth, which come in the order of their
// paths; what begins with a point is passed over. Shuffled, all of them are shuffled together (data/sample_order.h).
// Throws ConfigError where a folder or the list cannot be opened or holds no image, DataError where the list is wrong.
std::unique_ptr<EncodedSource> open_image_folder(const ImageFolderData& data, const DataOptions& options);

}  // namespace hadal
