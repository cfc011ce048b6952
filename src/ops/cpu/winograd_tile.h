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
// Points are computed in fp32 and kept in words of 32 bits: a number of fp32, or two of bf16 that an instruction
// multiplies by two others and adds up (AVX512_BF16). Sums are of fp32.
//
// For x86-64 only; callers ask onednn::vector_floats() first, and for bf16 onednn::has_bf16(): nothing but what is for
// Bf16 has instructions of AVX512_BF16.

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ops/cpu/bf16_tile.h"
#include "tensor/bf16.h"

namespace hadal::winograd {

inline constexpr std::int64_t kVector = 16;  // floats
inline constexpr int kSide = 4;
inline constexpr int kPoints = kSide * kSide;

template <class T>
inline constexpr int kInWord = sizeof(float) / sizeof(T);

// Vectors by the compiler's own operators where intrinsics warn of their own undefined values (GCC 105593).
using Halves16 [[gnu::vector_size(32)]] = std::uint16_t;
using Halves32 [[gnu::vector_size(64)]] = std::uint16_t;
using Words16 [[gnu::vector_size(64)]] = std::uint32_t;

template <class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline __m512 load(const T* numbers) {
  if constexpr (std::is_same_v<T, float>) {
    return _mm512_loadu_ps(numbers);
  } else {
    Halves16 halves;
    std::memcpy(&halves, numbers, sizeof halves);
    return __builtin_bit_cast(__m512, __builtin_convertvector(halves, Words16) << 16);
  }
}

// 16 numbers, one after the other.
template <class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void store(__m512 numbers, T* to) {
  if constexpr (std::is_same_v<T, float>) {
    _mm512_storeu_ps(to, numbers);
  } else {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), __builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(numbers)));
  }
}

// 16 words, of one of `first` each, or of one of each.
template <class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void store_words(__m512 first, __m512 second, float* to) {
  if constexpr (std::is_same_v<T, float>) {
    _mm512_storeu_ps(to, first);
  } else {
    const auto both = __builtin_bit_cast(Halves32, _mm512_cvtne2ps_pbh(second, first));
    const Halves32 in_turn = __builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    std::memcpy(to, &in_turn, sizeof in_turn);
  }
}

// B^T x for the four numbers x[0], x[step], x[2 step], x[3 step]; the others alike.
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void source_side(__m512* x, int step) {
  const __m512 x1 = x[step], x2 = x[2 * step];
  x[0] = x[0] - x2;
  x[step] = x1 + x2;
  x[2 * step] = x2 - x1;
  x[3 * step] = x1 - x[3 * step];
}

// A x of x[0] and x[step], in the places of four.
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void diff_side(__m512* x, int step) {
  const __m512 x0 = x[0], x1 = x[step];
  x[step] = x0 + x1;
  x[2 * step] = x0 - x1;
  x[3 * step] = -x1;
}

// A^T x, in the places of two.
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void destination_side(__m512* x, int step) {
  const __m512 x1 = x[step], x2 = x[2 * step];
  x[0] = x[0] + x1 + x2;
  x[step] = x1 - x2 - x[3 * step];
}

// G x of three, in the places of four.
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void kernel_side(__m512* x, int step) {
  const __m512 half = _mm512_set1_ps(0.5f), ends = (x[0] + x[2 * step]) * half, middle = x[step] * half;
  x[3 * step] = x[2 * step];
  x[step] = ends + middle;
  x[2 * step] = ends - middle;
}

// G^T x, in the places of three.
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void kernel_diff_side(__m512* x, int step) {
  const __m512 half = _mm512_set1_ps(0.5f), x1 = x[step], x2 = x[2 * step], sum = (x1 + x2) * half;
  x[0] = x[0] + sum;
  x[step] = (x1 - x2) * half;
  x[2 * step] = sum + x[3 * step];
}

// A matrix of kBefore columns on both sides, of which kAfter lines are left.
template <auto kOfSide, int kBefore, int kAfter>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void on_both_sides(__m512* x) {
#pragma GCC unroll 4
  for (int i = 0; i < kBefore; ++i) kOfSide(x + i, kSide);
#pragma GCC unroll 4
  for (int i = 0; i < kAfter; ++i) kOfSide(x + i * kSide, 1);
}

// Puts 16 channels of kNumbers x kNumbers pixels where a matrix of points has them.
template <int kNumbers, class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void load_pixels(const T* const* pixels, std::int64_t channel,
                                                                  __m512* x) {
#pragma GCC unroll 16
  for (int i = 0; i < kNumbers * kNumbers; ++i) x[i / kNumbers * kSide + i % kNumbers] = load(pixels[i] + channel);
}

[[HADAL_BF16_TARGET, gnu::always_inline]] inline void load_points(const float* points, std::int64_t next_point,
                                                                  __m512* x) {
#pragma GCC unroll 16
  for (int i = 0; i < kPoints; ++i) x[i] = _mm512_loadu_ps(points + i * next_point);
}

// Where the points of a tile go: words between them, and from 16 channels to the next.
struct PointsAt {
  float* points;
  std::int64_t next_point, next_vector;

  float* at(int point, std::int64_t channel) const {
    return points + point * next_point + channel / kVector * next_vector;
  }
};

// Lines and columns of a tile's points that are not multiplied by zero; what only others need is not loaded either.
template <int kLines, int kColumns>
struct Wanted {
  static constexpr bool has(int point) { return point / kSide < kLines && point % kSide < kColumns; }
};
using AllWanted = Wanted<kSide, kSide>;

// From the pixels of a tile of the source, row by row, each of which has `channels`: words of numbers side by side.
template <class Points, class T>
[[HADAL_BF16_TARGET]] void source_points(const T* const* pixels, std::int64_t channels, const PointsAt& to) {
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kPoints];
    load_pixels<4>(pixels, c, x);
    on_both_sides<source_side, 4, 4>(x);
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) {
      if (Points::has(i)) store(x[i], reinterpret_cast<T*>(to.at(i, c)));
    }
  }
}

// The points of kInWord tiles, for a word's number each: from their kNumbers x kNumbers pixels.
template <class Points, auto kOfSide, int kNumbers, class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline void words_of_tiles(const T* const* const* pixels,
                                                                     std::int64_t channels, const PointsAt& to) {
  constexpr int kTiles = kInWord<T>;
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kTiles][kPoints];
#pragma GCC unroll 2
    for (int t = 0; t < kTiles; ++t) {
      load_pixels<kNumbers>(pixels[t], c, x[t]);
      on_both_sides<kOfSide, kNumbers, 4>(x[t]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) {
      if (Points::has(i)) store_words<T>(x[0][i], x[kTiles - 1][i], to.at(i, c));
    }
  }
}

template <class Points, class T>
[[HADAL_BF16_TARGET]] void source_words(const T* const* const* pixels, std::int64_t channels, const PointsAt& to) {
  words_of_tiles<Points, source_side, 4>(pixels, channels, to);
}

// Of the gradients of a tile's 2 x 2 pixels.
template <class T>
[[HADAL_BF16_TARGET]] inline void diff_words(const T* const* const* pixels, std::int64_t channels, const PointsAt& to) {
  words_of_tiles<AllWanted, diff_side, 2>(pixels, channels, to);
}

// The same of kInWord kernels' nine numbers each, line by line, each of which has `columns`.
template <class T>
[[HADAL_BF16_TARGET]] inline void kernel_words(const float* const* const* taps, std::int64_t columns, float* points,
                                               std::int64_t next_point) {
  constexpr int kKernels = kInWord<T>;
  for (std::int64_t c = 0; c < columns; c += kVector) {
    __m512 x[kKernels][kPoints];
#pragma GCC unroll 2
    for (int k = 0; k < kKernels; ++k) {
      load_pixels<3>(taps[k], c, x[k]);
      on_both_sides<kernel_side, 3, 4>(x[k]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) store_words<T>(x[0][i], x[kKernels - 1][i], points + i * next_point + c);
  }
}

// pixels[i][channel] = the tile's numbers + bias[channel], where the pixel and the bias are not null.
template <class T>
[[HADAL_BF16_TARGET]] inline void write_destination(const float* points, std::int64_t next_point, const float* bias,
                                                    std::int64_t channels, T* const* pixels) {
  for (std::int64_t c = 0; c < channels; c += kVector) {
    __m512 x[kPoints];
    load_points(points + c, next_point, x);
    on_both_sides<destination_side, 4, 2>(x);
    const __m512 offset = bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(bias + c);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (pixels[i] != nullptr) store(x[i / 2 * kSide + i % 2] + offset, pixels[i] + c);
    }
  }
}

// The gradients of a kernel's numbers, where these are not null, from points[i * next_point + column].
[[HADAL_BF16_TARGET]] inline void write_kernel_diffs(const float* points, std::int64_t next_point, std::int64_t columns,
                                                     float* const* taps) {
  for (std::int64_t c = 0; c < columns; c += kVector) {
    __m512 x[kPoints];
    load_points(points + c, next_point, x);
    on_both_sides<kernel_diff_side, 4, 3>(x);
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i) {
      if (taps[i] != nullptr) _mm512_storeu_ps(taps[i] + c, x[i / 3 * kSide + i % 3]);
    }
  }
}

// sums[column] += the numbers of each row of 16 words, in their order.
template <class T>
[[HADAL_BF16_TARGET]] inline void add_words(const float* words, std::int64_t rows, float* sums) {
  __m512 sum = _mm512_loadu_ps(sums);
  for (std::int64_t row = 0; row < rows; ++row, words += kVector) {
    const __m512 word = _mm512_loadu_ps(words);
    if constexpr (std::is_same_v<T, float>) {
      sum = sum + word;
    } else {
      const auto bits = __builtin_bit_cast(Words16, word);
      sum = sum + __builtin_bit_cast(__m512, bits << 16);
      sum = sum + __builtin_bit_cast(__m512, bits & 0xffff0000u);
    }
  }
  _mm512_storeu_ps(sums, sum);
}

// c[row][column] = (add: +) the sum over i of a[row, i] b[i, column], in the order of i: words. a[row, i] lies at
// a + row * a_row + i * a_next, 16 columns of b at b + i * b_next + column / 16 * b_vector; c is row-major.
struct TileProduct {
  const float *a, *b;
  float* c;
  std::int64_t a_row, a_next, b_next, b_vector, c_pitch;
  std::int64_t terms;
  bool add;
};

inline constexpr std::int64_t kRows = kTileRows;  // of a product's tile

template <class T>
[[HADAL_BF16_TARGET, gnu::always_inline]] inline __m512 add_product(__m512 sum, __m512 row, __m512 column) {
  if constexpr (std::is_same_v<T, float>) {
    return _mm512_fmadd_ps(row, column, sum);
  } else {
    return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, column), __builtin_bit_cast(__m512bh, row));
  }
}

template <class T, int kRowsHere, int kRegisters>
[[HADAL_BF16_TARGET]] void multiply_tile(const TileProduct& p) {
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
      for (int r = 0; r < kRegisters; ++r) sum[i][r] = add_product<T>(sum[i][r], row, column[r]);
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

template <class T, int kRegisters>
void multiply_rows(TileProduct p, std::int64_t rows) {
  for (; rows >= kRows; rows -= kRows) {
    multiply_tile<T, kRows, kRegisters>(p);
    p.a += kRows * p.a_row;
    p.c += kRows * p.c_pitch;
  }
  using Multiply = void (*)(const TileProduct&);
  static constexpr Multiply kRest[] = {
      nullptr,
      multiply_tile<T, 1, kRegisters>,
      multiply_tile<T, 2, kRegisters>,
      multiply_tile<T, 3, kRegisters>,
      multiply_tile<T, 4, kRegisters>,
      multiply_tile<T, 5, kRegisters>,
      multiply_tile<T, 6, kRegisters>,
      multiply_tile<T, 7, kRegisters>,
  };
  if (rows > 0) kRest[rows](p);
}

// Of `rows` rows and `registers` times 16 columns.
template <class T>
void multiply_rows(const TileProduct& p, std::int64_t rows, std::int64_t registers) {
  if (registers == 3) return multiply_rows<T, 3>(p, rows);
  if (registers == 2) return multiply_rows<T, 2>(p, rows);
  multiply_rows<T, 1>(p, rows);
}

}  // namespace hadal::winograd
