#pragma once
// What the convolutions of Winograd's algorithm have in common: tiles, and the parts of kernels.
// Internal to conv_winograd.cc, which explains the algorithm, and conv_winograd_weights.cc; for x86-64 only.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "nn/op.h"
#include "ops/cpu/winograd_tile.h"

namespace hadal::winograd {

inline constexpr std::int64_t kKernelInputs = 16;  // whose kernels are transformed together
inline constexpr std::int64_t kAhead = 2;          // tiles to fetch before they are transformed

// Whether it is faster: a function of the shape, the type and the instruction set.
bool is_preferred(const ConvShape& shape, DType type);

inline std::string implementation(DType type) {
  return type == DType::f32 ? "winograd 2x2:avx512_core" : "winograd 2x2:avx512_core_bf16";
}

// The tiles of the destination's side of a convolution of stride 1, and their pixels.
struct Tiles {
  std::int64_t height, width;  // of an image, in tiles

  explicit Tiles(const ConvShape& s) : height((s.out_height() + 1) / 2), width((s.out_width() + 1) / 2) {}
  std::int64_t of_image() const { return height * width; }
};

// [rows, height, width, channels], of which a group has some from `data` on.
template <class T>
struct Images {
  T* data;
  std::int64_t height, width, pitch;  // numbers of a pixel

  // The kSize x kSize pixels from y, x on; `outside` where there is none.
  template <int kSize>
  std::array<T*, kSize * kSize> pixels(std::int64_t n, std::int64_t y, std::int64_t x, T* outside) const {
    std::array<T*, kSize * kSize> all;
    const std::int64_t first = (n * height + y) * width + x;
    const bool whole = y >= 0 && y + kSize <= height && x >= 0 && x + kSize <= width;
    for (std::int64_t i = 0; i < kSize * kSize; ++i) {
      const std::int64_t row = i / kSize, column = i % kSize;
      const bool inside = whole || (y + row >= 0 && y + row < height && x + column >= 0 && x + column < width);
      all[static_cast<std::size_t>(i)] = inside ? data + (first + row * width + column) * pitch : outside;
    }
    return all;
  }
};

// Those of a tile, whose first is `before` twice the tile's place (`after` that for a part of the kernel).
template <int kSize, class T>
std::array<T*, kSize * kSize> tile_pixels(const Images<T>& images, const Tiles& tiles, std::int64_t tile, Extent before,
                                          T* outside) {
  const std::int64_t n = tile / tiles.of_image(), place = tile % tiles.of_image();
  return images.template pixels<kSize>(n, place / tiles.width * 2 - before.height,
                                       place % tiles.width * 2 - before.width, outside);
}

// Its right half: tiles overlap.
template <class T>
void prefetch_tile(const std::array<const T*, 16>& pixels, std::int64_t channels) {
  for (std::size_t i = 0; i < 16; ++i) {
    if (i % 4 < 2) continue;
    for (std::int64_t c = 0; c < channels; c += kVector * kInWord<T>) __builtin_prefetch(pixels[i] + c);
  }
}

// A kernel as parts of up to 3 x 3 numbers.
struct KernelParts {
  Extent kernel;

  std::int64_t height() const { return (kernel.height + 2) / 3; }
  std::int64_t width() const { return (kernel.width + 2) / 3; }
  std::int64_t count() const { return height() * width(); }

  // Where a part begins in the kernel.
  Extent first(std::int64_t part) const { return {part / width() * 3, part % width() * 3}; }

  // Whether a part's kernels have other numbers than zero at a point.
  bool has(std::int64_t part, std::int64_t point) const {
    const Extent begin = first(part);
    return (begin.height + 3 <= kernel.height || point / kSide < 3) &&
           (begin.width + 3 <= kernel.width || point % kSide < 3);
  }

  // Calls run(Wanted<...>) for the points that a part has.
  template <class Run>
  void with_points(std::int64_t part, const Run& run) const {
    const bool lines = has(part, kSide * (kSide - 1)), columns = has(part, kSide - 1);
    if (lines && columns) return run(AllWanted{});
    if (lines) return run(Wanted<kSide, kSide - 1>{});
    if (columns) return run(Wanted<kSide - 1, kSide>{});
    run(Wanted<kSide - 1, kSide - 1>{});
  }

  // Calls run(first, count) for the parts that have a point, as many at once as lie together.
  template <class Run>
  void for_runs(std::int64_t point, const Run& run) const {
    for (std::int64_t part = 0, past = 1; part < count(); part = past++) {
      if (!has(part, point)) continue;
      while (past < count() && has(past, point)) ++past;
      run(part, past - part);
    }
  }

  // The numbers of a part, each `next` after the one before it in the kernel; `turned`: by half a turn. `absent` where
  // the kernel has none.
  template <class T>
  std::array<T*, 9> taps(std::int64_t part, T* numbers, std::int64_t next, bool turned, T* absent) const {
    std::array<T*, 9> all;
    for (std::int64_t i = 0; i < 9; ++i) {
      const std::int64_t y = first(part).height + i / 3, x = first(part).width + i % 3;
      const std::int64_t place = y * kernel.width + x;
      const bool inside = y < kernel.height && x < kernel.width;
      all[static_cast<std::size_t>(i)] =
          inside ? numbers + (turned ? kernel.area() - 1 - place : place) * next : absent;
    }
    return all;
  }

  // Of a tile.
  std::int64_t multiplications() const {
    std::int64_t all = 0;
    for (std::int64_t point = 0; point < kPoints; ++point) {
      for (std::int64_t part = 0; part < count(); ++part) all += has(part, point);
    }
    return all;
  }
};

}  // namespace hadal::winograd
