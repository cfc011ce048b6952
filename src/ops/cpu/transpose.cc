// Transposition by tiles that are a cache line wide both ways, each from 4 x 4 blocks in registers.

#include "ops/cpu/transpose.h"

#include <algorithm>
#include <cstring>

#include "ops/cpu/simd.h"

namespace hadal {

namespace {

constexpr std::int64_t kTile = 16;

// Rows a, b, c, d become columns.
void transpose_4x4(Floats4& a, Floats4& b, Floats4& c, Floats4& d) {
  const Floats4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Floats4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

void transpose_tile(const float* from, std::int64_t from_pitch, const float* row_bias, float* to,
                    std::int64_t to_pitch) {
  constexpr int kBlocks = kTile / 4;
  Floats4 tile[kTile][kBlocks];
  for (std::int64_t row = 0; row < kTile; ++row) std::memcpy(tile[row], from + row * from_pitch, sizeof tile[row]);
  if (row_bias != nullptr) {
    for (std::int64_t row = 0; row < kTile; ++row) {
      for (Floats4& block : tile[row]) block += row_bias[row];
    }
  }
  for (int column = 0; column < kBlocks; ++column) {
    for (int row = 0; row < kTile; row += 4) {
      transpose_4x4(tile[row][column], tile[row + 1][column], tile[row + 2][column], tile[row + 3][column]);
    }
    for (int i = 0; i < 4; ++i) {
      float* line = to + (column * 4 + i) * to_pitch;
      for (int row = 0; row < kBlocks; ++row) std::memcpy(line + row * 4, &tile[row * 4 + i][column], sizeof(Floats4));
    }
  }
}

}  // namespace

void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch,
               const float* row_bias, float* to, std::int64_t to_pitch) {
  const auto bias_at = [&](std::int64_t row) { return row_bias == nullptr ? nullptr : row_bias + row; };
  for (std::int64_t row = 0; row < rows; row += kTile) {
    for (std::int64_t column = 0; column < columns; column += kTile) {
      const float* source = from + row * from_pitch + column;
      float* destination = to + column * to_pitch + row;
      const std::int64_t height = std::min(kTile, rows - row), width = std::min(kTile, columns - column);
      if (height == kTile && width == kTile) {
        transpose_tile(source, from_pitch, bias_at(row), destination, to_pitch);
        continue;
      }
      for (std::int64_t r = 0; r < height; ++r) {
        for (std::int64_t c = 0; c < width; ++c) {
          const float value = source[r * from_pitch + c];
          destination[c * to_pitch + r] = row_bias == nullptr ? value : value + row_bias[row + r];
        }
      }
    }
  }
}

}  // namespace hadal
