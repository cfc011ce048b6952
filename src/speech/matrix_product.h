#pragma once
// Products of small matrices for what no plan computes. Each number is one sum, in the order of the inner index: the
// same whatever the threads.

#include <cstdint>

namespace hadal {

// c[m, n] = a[m, k] b[k, n]; all row-major. `a_by_column`: a lies as [k, m].
struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool a_by_column = false;
};

void multiply(const ProductShape& shape, const float* a, const float* b, float* c, int threads);

// [rows, columns] becomes [columns, rows].
void transpose_into(const float* from, std::int64_t rows, std::int64_t columns, float* to);

}  // namespace hadal
