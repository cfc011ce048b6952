#pragma once
// Transposed copies of matrices.

#include <cstdint>

namespace hadal {

// to[column * to_pitch + row] = from[row * from_pitch + column] + row_bias[row] (where that is not nullptr), for `rows`
// x `columns` elements. Pitches count floats. `to` does not overlap `from`.
void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch,
               const float* row_bias, float* to, std::int64_t to_pitch);

}  // namespace hadal
