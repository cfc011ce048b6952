#pragma once
// How far apart the rows of a matrix lie. Rows a multiple of 2 KB apart fall into the same few cache lines, which makes
// products slower (by two to three times with AVX2): such operands are copied to a larger pitch first.

#include <cstdint>
#include <cstring>

#include "ops/cpu/threads.h"

namespace hadal {

inline constexpr std::int64_t kPackedGap = 16;

inline bool bad_pitch(std::int64_t pitch) { return pitch % 512 == 0; }
inline std::int64_t packed_pitch(std::int64_t columns) { return bad_pitch(columns) ? columns + kPackedGap : columns; }

// Copies [rows, columns] to its packed pitch.
inline void pack(int threads, const float* from, std::int64_t pitch, std::int64_t rows, std::int64_t columns,
                 float* to) {
  parallel_for(threads, rows, kParallelGrain / columns, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::memcpy(to + row * packed_pitch(columns), from + row * pitch,
                  static_cast<std::size_t>(columns) * sizeof(float));
    }
  });
}

}  // namespace hadal
