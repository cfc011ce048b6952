#pragma once
// The parts of Winograd's minimal filtering F(2x2, 3x3) that compute, 16 channels at a time (AVX-512). A tile has 2 x 2
// numbers of the destination and the 4 x 4 of the source that these see; both and the kernels g become 16 points each,
// between which
//
//   destination = A^T [(G g G^T) . (B^T source B)] A,   gradient of g = G^T [(B^T source B) . (A gradient A^T)] G
//
//         1  0 -1  0          1    0    0          1  1  1  0
//   B^T = 0  1  1  0      G = 1/2  1/2  1/2  A^T = 0  1 -1 -1
//         0 -1  1  0          1/2 -1/2  1/2
//         0  1  0 -1          0    0    1
//
// For x86-64 only; callers ask onednn::vector_floats() first.

#include <immintrin.h>

#include <cstdint>

#define HADAL_AVX512_TARGET gnu::target("avx512f")

namespace hadal::winograd {

inline constexpr std::int64_t kVector = 16;  // floats
inline constexpr int kSide = 4;
inline constexpr int kPoints = kSide * kSide;

// B^T x for the four numbers x[0], x[step], x[2 step], x[3 step]; the others alike.
[[HADAL_AVX512_TARGET, gnu::always_inline]] inline void source_side(__m512* x, int step) {
  const __m512 x1 = x[step], x2 = x[2 * step];
  x[0] = x[0] - x2;
  x[step] = x1 + x2;
  x[2 * step] = x2 - x1;
  x[3 * step] = x1 - x[3 * step];
}

// A x of x[0] and x[step], in the places of four.
[[HADAL_AVX512_TARGET, gnu::always_inline]] inline void diff_side(__m512* x, int step) {
  const __m512 x0 = x[0], x1 = x[step];
  x[step] = x0 + x1;
  x[2 * step] = x0 - x1;
  x[3 * step] = -x1;
}

// A^T x, in the places of two.
[[HADAL_AVX512_TARGET, gnu::always_inline]] inline void destination_side(__m512* x, int step) {
  const __m512 x1 = x[step], x2 = x[2 * step];
  x[0] = x[0] + x1 + x2;
  x[step] = x1 - x2 - x[3 * step];
}

// G x of three, in the places of four.
[[HADAL_AVX512_TARGET, gnu::always_inline]] inline void kernel_side(__m512* x, int step) {
  const __m512 half = _mm512_set1_ps(0.5f), ends = (x[0] + x[2 * step]) * half, middle = x[step] * half;
  x[3 * step] = x[2 * step];
  x[step] = ends + middle;
  x[2 * step] = ends - middle;
}

// G^T x, in the places of three.
[[HADAL_AVX512_TARGET, gnu::always_inline]] inline void kernel_diff_side(__m512* x, int step) {
  const __m512 half = _mm512_set1_ps(0.5f), x1 = x[step], x2 = x[2 * step], sum = (x1 + x2) * half;
  x[0] = x[0] + sum;
  x[step] = (x1 - x2) * half;
  x[2 * step] = sum + x[3 * step];
}

// Where the points of a tile go: distances between them, and from 16 channels to the next.
struct PointsAt {
  float* points;
  std::int64_t next_point, next_vector;

  float* at(int point, std::int64_t channel) const {
    return points + point * next_point + channel / kVector * next_vector;
  }
};

// From the pixels of a tile, row by row, each of which has `channels`.
[[HADAL_AVX512_TARGET]] inline void source_points(const float* const* pixels, std::int64_t channels,
                                                  const PointsAt& to) {
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kPoints];
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) x[i] = _mm512_loadu_ps(pixels[i] + c);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) source_side(x + i, kSide);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) source_side(x + i * kSide, 1);
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) _mm512_storeu_ps(to.at(i, c), x[i]);
  }
}

// The same of the gradients of a tile's 2 x 2 pixels.
[[HADAL_AVX512_TARGET]] inline void diff_points(const float* const* pixels, std::int64_t channels, const PointsAt& to) {
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kPoints];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) x[i / 2 * kSide + i % 2] = _mm512_loadu_ps(pixels[i] + c);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) diff_side(x + i, kSide);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) diff_side(x + i * kSide, 1);
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) _mm512_storeu_ps(to.at(i, c), x[i]);
  }
}

// pixels[i][channel] = the tile's numbers + bias[channel], where the pixel and the bias are not null.
[[HADAL_AVX512_TARGET]] inline void write_destination(const float* points, std::int64_t next_point, const float* bias,
                                                      std::int64_t channels, float* const* pixels) {
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kPoints];
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) x[i] = _mm512_loadu_ps(points + i * next_point + c);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) destination_side(x + i, kSide);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) destination_side(x + i * kSide, 1);
    const __m512 offset = bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(bias + c);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (pixels[i] != nullptr) _mm512_storeu_ps(pixels[i] + c, x[i / 2 * kSide + i % 2] + offset);
    }
  }
}

// From the nine numbers of a kernel, line by line, each of which has `columns`.
[[HADAL_AVX512_TARGET]] inline void kernel_points(const float* const* taps, std::int64_t columns, float* points,
                                                  std::int64_t next_point) {
  for (std::int64_t c = 0; c < columns; c += kVector) {
    __m512 x[kPoints];
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i) x[i / 3 * kSide + i % 3] = _mm512_loadu_ps(taps[i] + c);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) kernel_side(x + i, kSide);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) kernel_side(x + i * kSide, 1);
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) _mm512_storeu_ps(points + i * next_point + c, x[i]);
  }
}

// The gradients of a kernel's numbers, where these are not null, from points[i * next_point + column].
[[HADAL_AVX512_TARGET]] inline void write_kernel_diffs(const float* points, std::int64_t next_point,
                                                       std::int64_t columns, float* const* taps) {
  for (std::int64_t c = 0; c < columns; c += kVector) {
    __m512 x[kPoints];
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) x[i] = _mm512_loadu_ps(points + i * next_point + c);
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) kernel_diff_side(x + i, kSide);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) kernel_diff_side(x + i * kSide, 1);
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i) {
      if (taps[i] != nullptr) _mm512_storeu_ps(taps[i] + c, x[i / 3 * kSide + i % 3]);
    }
  }
}

// c[row][column] = (add: +) the sum over i of a[row, i] b[i, column], in the order of i. a[row, i] lies at
// a + row * a_row + i * a_next, 16 columns of b at b + i * b_next + column / 16 * b_vector; c is row-major.
struct TileProduct {
  const float *a, *b;
  float* c;
  std::int64_t a_row, a_next, b_next, b_vector, c_pitch;
  std::int64_t terms;
  bool add;
};

inline constexpr std::int64_t kRows = 8;           // of a product's tile
inline constexpr std::int64_t kMostRegisters = 3;  // of a row: 24 of the 32 registers hold sums

template <int kRowsHere, int kRegisters>
[[HADAL_AVX512_TARGET]] void multiply_tile(const TileProduct& p) {
  __m512 sum[kRowsHere][kRegisters];
#pragma GCC unroll 8
  for (int i = 0; i < kRowsHere; ++i) {
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) sum[i][r] = _mm512_setzero_ps();
  }
  if (p.add) {
    for (int i = 0; i < kRowsHere; ++i) {
      for (int r = 0; r < kRegisters; ++r) __builtin_prefetch(p.c + i * p.c_pitch + r * kVector, 1);
    }
  }
  const float *a = p.a, *b = p.b;
  const std::int64_t a_row = p.a_row, a_next = p.a_next, b_next = p.b_next, b_vector = p.b_vector;
  for (std::int64_t term = p.terms; term > 0; --term, a += a_next, b += b_next) {
    __m512 column[kRegisters];
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) column[r] = _mm512_loadu_ps(b + r * b_vector);
#pragma GCC unroll 8
    for (int i = 0; i < kRowsHere; ++i) {
      const __m512 row = _mm512_set1_ps(a[i * a_row]);
#pragma GCC unroll 3
      for (int r = 0; r < kRegisters; ++r) sum[i][r] = _mm512_fmadd_ps(row, column[r], sum[i][r]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRowsHere; ++i) {
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) {
      float* c = p.c + i * p.c_pitch + r * kVector;
      _mm512_storeu_ps(c, p.add ? _mm512_loadu_ps(c) + sum[i][r] : sum[i][r]);
    }
  }
}

}  // namespace hadal::winograd
