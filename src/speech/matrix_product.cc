#include "speech/matrix_product.h"

#include <algorithm>

#include "base/clones.h"
#include "speech/tasks.h"

namespace hadal {

namespace {

constexpr std::int64_t kRows = 4, kColumns = 32;  // of c that are summed at once, in registers
constexpr std::int64_t kRowsOfTask = 32;

// Rows `first` to `last - 1` of c.
HADAL_CLONES void multiply_rows(const ProductShape& shape, const float* a, const float* b, float* c, std::int64_t first,
                                std::int64_t last) {
  const std::int64_t step = shape.a_by_column ? shape.m : 1, pitch = shape.a_by_column ? 1 : shape.k;
  for (std::int64_t j = 0; j < shape.n; j += kColumns) {
    const std::int64_t columns = std::min(kColumns, shape.n - j);
    for (std::int64_t i = first; i < last; i += kRows) {
      const std::int64_t rows = std::min(kRows, last - i);
      float sums[kRows][kColumns] = {};
      if (rows == kRows && columns == kColumns) {
        const float* row0 = a + i * pitch;
        for (std::int64_t k = 0; k < shape.k; ++k) {
          const float* line = b + k * shape.n + j;
          const float a0 = row0[k * step], a1 = row0[pitch + k * step], a2 = row0[2 * pitch + k * step],
                      a3 = row0[3 * pitch + k * step];
          for (std::int64_t x = 0; x < kColumns; ++x) {
            sums[0][x] += a0 * line[x];
            sums[1][x] += a1 * line[x];
            sums[2][x] += a2 * line[x];
            sums[3][x] += a3 * line[x];
          }
        }
      } else {
        for (std::int64_t k = 0; k < shape.k; ++k) {
          const float* line = b + k * shape.n + j;
          for (std::int64_t r = 0; r < rows; ++r) {
            const float factor = a[(i + r) * pitch + k * step];
            for (std::int64_t x = 0; x < columns; ++x) sums[r][x] += factor * line[x];
          }
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(sums[r], columns, c + (i + r) * shape.n + j);
    }
  }
}

}  // namespace

void multiply(const ProductShape& shape, const float* a, const float* b, float* c, int threads) {
  const std::int64_t tasks = (shape.m + kRowsOfTask - 1) / kRowsOfTask;
  run_tasks(threads, tasks, [&](std::int64_t task) {
    multiply_rows(shape, a, b, c, task * kRowsOfTask, std::min(shape.m, (task + 1) * kRowsOfTask));
  });
}

void transpose_into(const float* from, std::int64_t rows, std::int64_t columns, float* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  }
}

}  // namespace hadal
