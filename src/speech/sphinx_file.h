#pragma once
// Feature files of CMU Sphinx (.mfc): an i32 count of numbers, then so many f32, in rows; big-endian, or little-endian
// where only so the count agrees with the file's size.

#include <cstdint>
#include <string>

#include "base/error.h"
#include "speech/feature_matrix.h"

namespace hadal {

inline constexpr std::int64_t kSphinxWidth = 13;

// Throws ConfigError (at `where`) where the file cannot be opened, DataError where it is wrong.
FeatureMatrix read_sphinx_file(const std::string& path, std::int64_t width = kSphinxWidth, const Position& where = {});

}  // namespace hadal
