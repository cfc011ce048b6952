#pragma once
// Products of pairs of bf16 numbers, added up in registers: AVX512_BF16 multiplies two pairs and adds both products to
// an fp32 number. For x86-64 only; callers ask onednn::has_bf16() first.

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tensor/bf16.h"

#define HADAL_BF16_TARGET gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")

namespace hadal {

inline constexpr int kTileRows = 8;                // of a tile's sums
inline constexpr std::int64_t kTileColumns = 16;   // in a register
inline constexpr std::int64_t kMostRegisters = 3;  // of a row: 24 of the 32 registers hold sums

// What a tile's sums are products of: pairs that stand for a row each, and vectors of pairs for the columns, one after
// the other. There are `lines` x `width` of them. Distances are in bf16 numbers.
struct PairTile {
  const Bf16 *rows, *columns;
  std::int64_t lines, width;
  std::int64_t next_line, next, next_row;  // between the pairs of a row; from row to row
};

// sums[row][column] += for each line and place in it, row's pair . column's pair; [kRows, kRegisters * 16]. In the
// order of lines and places. kNextRow: as in the tile, where it is known; else 0.
template <int kRegisters, int kNextRow, int kRows = kTileRows>
[[HADAL_BF16_TARGET]] void add_pairs(const PairTile& tile, float* sums) {
  const std::int64_t next_row = kNextRow > 0 ? kNextRow : tile.next_row;
  __m512 sum[kRows][kRegisters];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) sum[i][r] = _mm512_loadu_ps(sums + (i * kRegisters + r) * kTileColumns);
  }
  const Bf16* columns = tile.columns;
  for (std::int64_t line = 0; line < tile.lines; ++line) {
    const Bf16* rows = tile.rows + line * tile.next_line;
    for (std::int64_t x = 0; x < tile.width; ++x, rows += tile.next, columns += 2 * kRegisters * kTileColumns) {
      __m512bh column[kRegisters];
#pragma GCC unroll 3
      for (int r = 0; r < kRegisters; ++r) {
        column[r] = __builtin_bit_cast(__m512bh, _mm512_loadu_si512(columns + 2 * r * kTileColumns));
      }
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        std::int32_t pair;
        std::memcpy(&pair, rows + i * next_row, sizeof(pair));
        const auto row = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(pair));
#pragma GCC unroll 3
        for (int r = 0; r < kRegisters; ++r) sum[i][r] = _mm512_dpbf16_ps(sum[i][r], column[r], row);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) _mm512_storeu_ps(sums + (i * kRegisters + r) * kTileColumns, sum[i][r]);
  }
}

inline std::int64_t padded(std::int64_t count, std::int64_t to) { return (count + to - 1) / to * to; }

// A block of columns, in registers of 16, the last of which may be padded.
struct ColumnBlock {
  std::int64_t first, columns, registers;

  std::int64_t width() const { return registers * kTileColumns; }
};

// Blocks of three registers; of two at the end, rather than of one.
inline std::vector<ColumnBlock> column_blocks(std::int64_t columns) {
  std::vector<ColumnBlock> blocks;
  for (std::int64_t first = 0; first < columns; first += blocks.back().width()) {
    const std::int64_t left = padded(columns - first, kTileColumns) / kTileColumns;
    const std::int64_t registers = left == 4 ? 2 : std::min(left, kMostRegisters);
    blocks.push_back({first, std::min(columns - first, registers * kTileColumns), registers});
  }
  return blocks;
}

}  // namespace hadal
