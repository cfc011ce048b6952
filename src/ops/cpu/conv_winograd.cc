// Convolutions of 3x3 and 5x5 kernels by Winograd's minimal filtering F(2x2, 3x3) (Winograd 1980; Lavin and Gray 2015),
// in fp32: 16 multiplications for 2 x 2 numbers of the destination instead of 36. The formulas are in winograd_tile.h.
//
// A kernel of five lines has two parts, of three and of two (Huang et al., "DWM: a decomposable Winograd method",
// 2020): the parts' products are added up as if they were channels. The last line of points is zero for a part of two
// lines: 49 multiplications instead of 100.
//
// Tiles are numbered through all samples. A block of them becomes points in scratch, as 16 matrices [tiles, channels];
// the sums over channels (or over tiles, for the weights) are 16 matrix products; their results become numbers of the
// destination while they are in the second-level cache. What lies outside an image counts as zero.
//
// Each number of a destination is added up in the order of parts and channels, whatever the rows beside it and the
// number of threads; gradients of weights block by block in the order of tiles. An infinity makes NaN of other numbers
// of its tile than those that see it. Errors are those of direct sums, or less (docs/performance.md).

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/threads.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <vector>

#include "ops/cpu/transpose.h"
#include "ops/cpu/winograd_tile.h"

namespace hadal {

namespace {

using onednn::Bridge;
using onednn::Direction;
using winograd::kPoints;
using winograd::kVector;

constexpr std::int64_t kMostTaps = 25;
constexpr std::int64_t kKernelInputs = 16;  // whose kernels are transformed together
constexpr std::int64_t kAhead = 2;          // tiles to fetch before they are transformed

// Blocks of tiles. What products read again and again should stay in the second-level cache.
constexpr std::int64_t kBlockBytes = 512 * 1024;
constexpr std::int64_t kDiffBlockBytes = 256 * 1024;  // of a point, for gradients of weights

// The tiles of the destination's side of a convolution of stride 1, and their pixels.
struct WinogradTiles {
  std::int64_t height, width;  // of an image, in tiles

  explicit WinogradTiles(const ConvShape& s) : height((s.out_height() + 1) / 2), width((s.out_width() + 1) / 2) {}
  std::int64_t of_image() const { return height * width; }
};

// [rows, height, width, channels], of which a group has some from `data` on.
template <class T>
struct WinogradImages {
  T* data;
  std::int64_t height, width, pitch;  // floats of a pixel

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
std::array<T*, kSize * kSize> tile_pixels(const WinogradImages<T>& images, const WinogradTiles& tiles,
                                          std::int64_t tile, Extent before, T* outside) {
  const std::int64_t n = tile / tiles.of_image(), place = tile % tiles.of_image();
  return images.template pixels<kSize>(n, place / tiles.width * 2 - before.height,
                                       place % tiles.width * 2 - before.width, outside);
}

// Its right half: tiles overlap.
inline void prefetch_tile(const std::array<const float*, 16>& pixels, std::int64_t channels) {
  for (std::size_t i = 0; i < 16; ++i) {
    if (i % 4 < 2) continue;
    for (std::int64_t c = 0; c < channels; c += kVector) __builtin_prefetch(pixels[i] + c);
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
    return (begin.height + 3 <= kernel.height || point / winograd::kSide < 3) &&
           (begin.width + 3 <= kernel.width || point % winograd::kSide < 3);
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

// Columns of a matrix in registers of 16: blocks of three, of two at the end rather than of one.
struct WinogradColumns {
  std::int64_t first, registers;

  std::int64_t width() const { return registers * kVector; }
};
std::vector<WinogradColumns> winograd_columns(std::int64_t columns) {
  std::vector<WinogradColumns> blocks;
  for (std::int64_t first = 0; first < columns; first += blocks.back().width()) {
    const std::int64_t left = (columns - first) / kVector;
    blocks.push_back({first, left == 4 ? 2 : std::min(left, winograd::kMostRegisters)});
  }
  return blocks;
}

template <int kRegisters>
void multiply_rows(winograd::TileProduct p, std::int64_t rows) {
  for (; rows >= winograd::kRows; rows -= winograd::kRows) {
    winograd::multiply_tile<winograd::kRows, kRegisters>(p);
    p.a += winograd::kRows * p.a_row;
    p.c += winograd::kRows * p.c_pitch;
  }
  using Multiply = void (*)(const winograd::TileProduct&);
  static constexpr Multiply kRest[] = {
      nullptr,
      winograd::multiply_tile<1, kRegisters>,
      winograd::multiply_tile<2, kRegisters>,
      winograd::multiply_tile<3, kRegisters>,
      winograd::multiply_tile<4, kRegisters>,
      winograd::multiply_tile<5, kRegisters>,
      winograd::multiply_tile<6, kRegisters>,
      winograd::multiply_tile<7, kRegisters>,
  };
  if (rows > 0) kRest[rows](p);
}

void multiply_rows(const winograd::TileProduct& p, std::int64_t rows, std::int64_t registers) {
  if (registers == 3) return multiply_rows<3>(p, rows);
  if (registers == 2) return multiply_rows<2>(p, rows);
  multiply_rows<1>(p, rows);
}

// Floats from row to row of the points' matrices: rows apart by a multiple of 4 KB would share their place in caches.
std::int64_t point_pitch(std::int64_t channels) { return channels + kVector; }

// The convolution that computes a forward pass or, by turned kernels whose inputs and outputs change places, gradients
// of the data.
class WinogradConvolution final : public Kernel {
 public:
  // `shape`: of the convolution that is computed.
  WinogradConvolution(const ConvShape& shape, bool turned, std::int64_t rows, Layout source, Layout destination,
                      int threads)
      : shape_(shape),
        turned_(turned),
        rows_(rows),
        threads_(threads),
        tiles_(shape),
        parts_{shape.kernel},
        inputs_(shape.channels / shape.groups),
        outputs_(shape.out / shape.groups),
        columns_(winograd_columns(outputs_)),
        stream_(onednn::cpu_engine()),
        source_(onednn::image({rows, shape.channels, shape.height, shape.width}, source),
                onednn::image({rows, shape.channels, shape.height, shape.width}, Layout::channels_last),
                Direction::read, plan_),
        destination_(onednn::image({rows, shape.out, shape.out_height(), shape.out_width()}, destination),
                     onednn::image({rows, shape.out, shape.out_height(), shape.out_width()}, Layout::channels_last),
                     Direction::write, plan_),
        zeros_(plan_.reserve(static_cast<std::size_t>(zeros()) * sizeof(float))),
        kernels_(plan_.reserve(static_cast<std::size_t>(kPoints * terms() * outputs_) * sizeof(float))),
        own_(plan_.reserve(static_cast<std::size_t>(threads * own_floats()) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = source_.place(arguments[0], scratch);
    float* y = destination_.place(arguments[turned_ ? 2 : 3], scratch);
    source_.cross(stream_, scratch);
    std::fill_n(reinterpret_cast<float*>(scratch + zeros_), zeros(), 0.0f);
    for (std::int64_t group = 0; group < shape_.groups; ++group) {
      transform_kernels(floats_in(arguments, 1) + group * outputs_ * inputs_ * shape_.kernel.area(), scratch);
      const Group of{{x + group * inputs_, shape_.height, shape_.width, shape_.channels},
                     {y + group * outputs_, shape_.out_height(), shape_.out_width(), shape_.out},
                     turned_ ? nullptr : floats_in(arguments, 2) + group * outputs_};
      const std::int64_t all = rows_ * tiles_.of_image();
      parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
        for (; thread < past_thread; ++thread) {
          const std::int64_t end = all * (thread + 1) / threads_;
          for (std::int64_t first = all * thread / threads_; first < end; first += block_tiles()) {
            run_block(of, first, std::min(block_tiles(), end - first), own(scratch, thread), scratch);
          }
        }
      });
    }
    destination_.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "winograd 2x2:avx512_core"; }

 private:
  struct Group {
    WinogradImages<const float> source;
    WinogradImages<float> destination;
    const float* bias;
  };

  std::int64_t terms() const { return parts_.count() * inputs_; }  // of a sum
  std::int64_t pitch() const { return point_pitch(terms()); }
  std::int64_t zeros() const { return std::max(inputs_, columns_.front().width()); }
  std::int64_t tile_floats() const { return kPoints * (pitch() + columns_.front().width()); }
  std::int64_t block_tiles() const {
    const std::int64_t fit = kBlockBytes / static_cast<std::int64_t>(sizeof(float)) / tile_floats();
    return std::max<std::int64_t>(fit / winograd::kRows, 2) * winograd::kRows;
  }
  std::int64_t own_floats() const {
    return std::max(block_tiles() * tile_floats(), kKernelInputs * shape_.kernel.area() * columns_.front().width());
  }
  float* own(std::byte* scratch, std::int64_t thread) const {
    return reinterpret_cast<float*>(scratch + own_) + thread * own_floats();
  }

  // The points of a group's kernels: by blocks of outputs, [points, parts, inputs, outputs of the block].
  void transform_kernels(const float* weight, std::byte* scratch) const {
    const std::int64_t pieces = (inputs_ + kKernelInputs - 1) / kKernelInputs;
    const std::int64_t all = static_cast<std::int64_t>(columns_.size()) * pieces;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        for (std::int64_t i = all * thread / threads_; i < all * (thread + 1) / threads_; ++i) {
          const std::int64_t first = i % pieces * kKernelInputs;
          transform_kernels(weight, columns_[static_cast<std::size_t>(i / pieces)], first,
                            std::min(kKernelInputs, inputs_ - first), own(scratch, thread), scratch);
        }
      }
    });
  }

  // Those of inputs [first, first + count) of a block; `turned`, the weights have inputs where outputs are.
  void transform_kernels(const float* weight, const WinogradColumns& block, std::int64_t first, std::int64_t count,
                         float* lines, std::byte* scratch) const {
    const std::int64_t width = block.width(), area = shape_.kernel.area();
    if (turned_) {
      for (std::int64_t i = 0; i < count; ++i) {
        transpose(weight + ((first + i) * outputs_ + block.first) * area, width, area, area, nullptr,
                  lines + i * area * width, width);
      }
    } else {
      transpose(weight + (block.first * inputs_ + first) * area, width, count * area, inputs_ * area, nullptr, lines,
                width);
    }
    const auto* zeros = reinterpret_cast<const float*>(scratch + zeros_);
    float* points = reinterpret_cast<float*>(scratch + kernels_) + block.first * kPoints * terms();
    for (std::int64_t part = 0; part < parts_.count(); ++part) {
      for (std::int64_t i = 0; i < count; ++i) {
        const auto taps = parts_.taps<const float>(part, lines + i * area * width, width, turned_, zeros);
        winograd::kernel_points(taps.data(), width, points + (part * inputs_ + first + i) * width, terms() * width);
      }
    }
  }

  void run_block(const Group& group, std::int64_t first, std::int64_t tiles, float* points,
                 const std::byte* scratch) const {
    const auto* zeros = reinterpret_cast<const float*>(scratch + zeros_);
    const auto* kernels = reinterpret_cast<const float*>(scratch + kernels_);
    const std::int64_t next_point = tiles * pitch();
    for (std::int64_t part = 0; part < parts_.count(); ++part) {
      const Extent before{shape_.pad.height - parts_.first(part).height, shape_.pad.width - parts_.first(part).width};
      const auto pixels = [&](std::int64_t t) {
        return tile_pixels<4>(group.source, tiles_, first + t, before, zeros);
      };
      for (std::int64_t t = 0; t < tiles; ++t) {
        if (part == 0 && t + kAhead < tiles) prefetch_tile(pixels(t + kAhead), inputs_);
        winograd::source_points(pixels(t).data(), inputs_,
                                {points + t * pitch() + part * inputs_, next_point, kVector});
      }
    }
    float* sums = points + kPoints * next_point;
    for (const WinogradColumns& block : columns_) {
      const std::int64_t width = block.width();
      for (std::int64_t point = 0; point < kPoints; ++point) {
        parts_.for_runs(point, [&](std::int64_t part, std::int64_t count) {
          multiply_rows({.a = points + point * next_point + part * inputs_,
                         .b = kernels + block.first * kPoints * terms() + (point * terms() + part * inputs_) * width,
                         .c = sums + point * tiles * width,
                         .a_row = pitch(),
                         .a_next = 1,
                         .b_next = width,
                         .b_vector = kVector,
                         .c_pitch = width,
                         .terms = count * inputs_,
                         .add = part > 0},
                        tiles, block.registers);
        });
      }
      const float* bias = group.bias == nullptr ? nullptr : group.bias + block.first;
      WinogradImages<float> outputs = group.destination;
      outputs.data += block.first;
      for (std::int64_t t = 0; t < tiles; ++t) {
        const auto pixels = tile_pixels<2, float>(outputs, tiles_, first + t, 0, nullptr);
        winograd::write_destination(sums + t * width, tiles * width, bias, width, pixels.data());
      }
    }
  }

  ConvShape shape_;
  bool turned_;
  std::int64_t rows_;
  int threads_;
  WinogradTiles tiles_;
  KernelParts parts_;
  std::int64_t inputs_, outputs_;  // of a group
  std::vector<WinogradColumns> columns_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, destination_;
  std::size_t zeros_, kernels_, own_;
};

class WinogradWeights final : public Kernel {
 public:
  WinogradWeights(const ConvBackwardWeights& op, int threads)
      : shape_(op.shape),
        rows_(op.rows.count),
        threads_(threads),
        tiles_(op.shape),
        parts_{shape_.kernel},
        inputs_(shape_.channels / shape_.groups),
        outputs_(shape_.out / shape_.groups),
        columns_(winograd_columns(outputs_)),
        stream_(onednn::cpu_engine()),
        source_(onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, op.source),
                onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, Layout::channels_last),
                Direction::read, plan_),
        diffs_(onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, op.destination),
               onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, Layout::channels_last),
               Direction::read, plan_),
        zeros_(plan_.reserve(static_cast<std::size_t>(std::max(inputs_, outputs_)) * sizeof(float))),
        source_points_(plan_.reserve(points_bytes(rows_of_sums()))),
        diff_points_(plan_.reserve(points_bytes(outputs_))),
        sums_(plan_.reserve(static_cast<std::size_t>(kPoints * rows_of_sums() * outputs_) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = source_.place(arguments[0], scratch);
    const float* dy = diffs_.place(arguments[1], scratch);
    source_.cross(stream_, scratch);
    diffs_.cross(stream_, scratch);
    std::fill_n(reinterpret_cast<float*>(scratch + zeros_), std::max(inputs_, outputs_), 0.0f);
    for (std::int64_t group = 0; group < shape_.groups; ++group) {
      const WinogradImages<const float> source{x + group * inputs_, shape_.height, shape_.width, shape_.channels};
      const WinogradImages<const float> diffs{dy + group * outputs_, shape_.out_height(), shape_.out_width(),
                                              shape_.out};
      float* db = floats_out(arguments, 3) + group * outputs_;
      const std::int64_t all = rows_ * tiles_.of_image();
      std::fill_n(db, outputs_, 0.0f);
      const std::int64_t blocks = (all + block_tiles() - 1) / block_tiles();
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t first = all * block / blocks, tiles = all * (block + 1) / blocks - first;
        transform(source, diffs, first, tiles, scratch);
        add_block(first > 0, tiles, scratch, db);
      }
      write_weights(scratch, floats_out(arguments, 2) + group * outputs_ * inputs_ * shape_.kernel.area());
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "winograd 2x2:avx512_core"; }

 private:
  // Points of a block: [points, channels / 16, tiles, 16], with a line more so that the panels do not share their place
  // in caches.
  std::int64_t rows_of_sums() const { return parts_.count() * inputs_; }
  static std::int64_t panel_rows(std::int64_t tiles) { return tiles | 1; }
  std::int64_t block_tiles() const {
    return std::clamp<std::int64_t>(
        kDiffBlockBytes / static_cast<std::int64_t>(sizeof(float)) / (rows_of_sums() + outputs_), 16, 512);
  }
  std::size_t points_bytes(std::int64_t channels) const {
    return static_cast<std::size_t>(kPoints * panel_rows(block_tiles()) * channels) * sizeof(float);
  }

  void transform(const WinogradImages<const float>& source, const WinogradImages<const float>& diffs,
                 std::int64_t first, std::int64_t tiles, std::byte* scratch) const {
    const auto* zeros = reinterpret_cast<const float*>(scratch + zeros_);
    auto* points = reinterpret_cast<float*>(scratch + source_points_);
    auto* diff_points = reinterpret_cast<float*>(scratch + diff_points_);
    const std::int64_t next = panel_rows(tiles);
    parallel_for(threads_, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        for (std::int64_t part = 0; part < parts_.count(); ++part) {
          const Extent before{shape_.pad.height - parts_.first(part).height,
                              shape_.pad.width - parts_.first(part).width};
          const auto pixels = [&](std::int64_t tile) {
            return tile_pixels<4>(source, tiles_, first + tile, before, zeros);
          };
          if (part == 0 && t + kAhead < end) prefetch_tile(pixels(t + kAhead), inputs_);
          winograd::source_points(
              pixels(t).data(), inputs_,
              {points + part * inputs_ * next + t * kVector, rows_of_sums() * next, next * kVector});
        }
        const auto diff_pixels = tile_pixels<2>(diffs, tiles_, first + t, 0, zeros);
        winograd::diff_points(diff_pixels.data(), outputs_,
                              {diff_points + t * kVector, outputs_ * next, next * kVector});
      }
    });
  }

  void add_block(bool add, std::int64_t tiles, std::byte* scratch, float* db) const {
    const auto* points = reinterpret_cast<const float*>(scratch + source_points_);
    const auto* diff_points = reinterpret_cast<const float*>(scratch + diff_points_);
    auto* sums = reinterpret_cast<float*>(scratch + sums_);
    const auto blocks = static_cast<std::int64_t>(columns_.size());
    const std::int64_t next = panel_rows(tiles);
    parallel_for(threads_, kPoints * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t point = i / blocks;
        const WinogradColumns& block = columns_[static_cast<std::size_t>(i % blocks)];
        const float* diffs = diff_points + (point * outputs_ + block.first) * next;
        winograd::TileProduct p{.a = nullptr,
                                .b = diffs,
                                .c = nullptr,
                                .a_row = 1,
                                .a_next = kVector,
                                .b_next = kVector,
                                .b_vector = next * kVector,
                                .c_pitch = outputs_,
                                .terms = tiles,
                                .add = add};
        parts_.for_runs(point, [&](std::int64_t part, std::int64_t count) {
          for (std::int64_t row = part * inputs_; row < (part + count) * inputs_; row += winograd::kRows) {
            p.a = points + (point * rows_of_sums() + row / kVector * kVector) * next + row % kVector;
            p.c = sums + (point * rows_of_sums() + row) * outputs_ + block.first;
            multiply_rows(p, winograd::kRows, block.registers);
          }
        });
        if (point == kBiasPoint) add_diffs(diffs, tiles, block.width(), db + block.first);
      }
    });
  }

  // The second row of A has ones alone: this point is the sum of a tile's gradients.
  static constexpr std::int64_t kBiasPoint = winograd::kSide + 1;

  void add_diffs(const float* diffs, std::int64_t tiles, std::int64_t columns, float* db) const {
    for (std::int64_t first = 0; first < columns; first += kVector, diffs += panel_rows(tiles) * kVector) {
      for (std::int64_t t = 0; t < tiles; ++t) {
        for (std::int64_t c = 0; c < kVector; ++c) db[first + c] += diffs[t * kVector + c];
      }
    }
  }

  void write_weights(std::byte* scratch, float* dw) const {
    const auto* sums = reinterpret_cast<const float*>(scratch + sums_);
    const std::int64_t area = shape_.kernel.area(), next_point = rows_of_sums() * outputs_;
    parallel_for(threads_, outputs_ / kVector, 1, [&](std::int64_t begin, std::int64_t end) {
      alignas(64) float lines[kKernelInputs * kMostTaps * kVector];
      for (std::int64_t output = begin * kVector; output < end * kVector; output += kVector) {
        for (std::int64_t first = 0; first < inputs_; first += kKernelInputs) {
          for (std::int64_t i = 0; i < parts_.count() * kKernelInputs; ++i) {
            const std::int64_t part = i / kKernelInputs, input = i % kKernelInputs;
            const auto taps = parts_.taps<float>(part, lines + input * area * kVector, kVector, false, nullptr);
            winograd::write_kernel_diffs(sums + (part * inputs_ + first + input) * outputs_ + output, next_point,
                                         kVector, taps.data());
          }
          transpose(lines, kKernelInputs * area, kVector, kVector, nullptr, dw + (output * inputs_ + first) * area,
                    inputs_ * area);
        }
      }
    });
  }

  ConvShape shape_;
  std::int64_t rows_;
  int threads_;
  WinogradTiles tiles_;
  KernelParts parts_;
  std::int64_t inputs_, outputs_;  // of a group
  std::vector<WinogradColumns> columns_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, diffs_;
  std::size_t zeros_, source_points_, diff_points_, sums_;
};

// How often a number of the destination meets one of the source along a side.
std::int64_t meetings(std::int64_t size, std::int64_t pad, std::int64_t kernel) {
  std::int64_t count = 0;
  for (std::int64_t first = -pad; first + kernel <= size + pad; ++first) {
    count += std::max<std::int64_t>(std::min(first + kernel, size) - std::max<std::int64_t>(first, 0), 0);
  }
  return count;
}

// Whether it is faster: a function of the shape and the instruction set.
bool prefers_winograd(const ConvShape& s) {
  const auto is_side = [](std::int64_t kernel) { return kernel == 3 || kernel == 5; };
  if (onednn::vector_floats() != kVector || !__builtin_cpu_supports("avx512f")) return false;
  if (!is_side(s.kernel.height) || !is_side(s.kernel.width)) return false;
  if (s.stride != 1 || s.dilation != 1) return false;
  const std::int64_t inputs = s.channels / s.groups, outputs = s.out / s.groups;
  // With 16 channels on both sides the sums are too short for what is around them.
  if (inputs % kVector != 0 || outputs % kVector != 0 || inputs * outputs < 2 * kVector * kVector) return false;
  // Tiles reach over the edges of an image, where direct kernels have less to multiply.
  const std::int64_t direct =
      meetings(s.height, s.pad.height, s.kernel.height) * meetings(s.width, s.pad.width, s.kernel.width);
  return WinogradTiles(s).of_image() * KernelParts{s.kernel}.multiplications() * 4 <= direct * 3;
}

}  // namespace

std::unique_ptr<Kernel> bind_winograd(const ConvForward& op, int threads) {
  if (op.type != DType::f32 || op.destination_type != DType::f32 || !prefers_winograd(op.shape)) return nullptr;
  const OmpThreads scope(threads);
  return std::make_unique<WinogradConvolution>(op.shape, false, op.rows.count, op.source, op.destination, threads);
}

std::unique_ptr<Kernel> bind_winograd(const ConvBackwardData& op, int threads) {
  const ConvShape& s = op.shape;
  const Extent pad{s.kernel.height - 1 - s.pad.height, s.kernel.width - 1 - s.pad.width};
  if (op.type != DType::f32 || !prefers_winograd(s) || pad.height < 0 || pad.width < 0) return nullptr;
  const ConvShape turned{.channels = s.out,
                         .height = s.out_height(),
                         .width = s.out_width(),
                         .out = s.channels,
                         .kernel = s.kernel,
                         .pad = pad,
                         .groups = s.groups};
  if (!prefers_winograd(turned)) return nullptr;
  const OmpThreads scope(threads);
  return std::make_unique<WinogradConvolution>(turned, true, op.rows.count, op.destination, op.source, threads);
}

std::unique_ptr<Kernel> bind_winograd(const ConvBackwardWeights& op, int threads) {
  if (op.type != DType::f32 || !prefers_winograd(op.shape)) return nullptr;
  const OmpThreads scope(threads);
  return std::make_unique<WinogradWeights>(op, threads);
}

}  // namespace hadal

#else

namespace hadal {

std::unique_ptr<Kernel> bind_winograd(const ConvForward&, int) { return nullptr; }
std::unique_ptr<Kernel> bind_winograd(const ConvBackwardData&, int) { return nullptr; }
std::unique_ptr<Kernel> bind_winograd(const ConvBackwardWeights&, int) { return nullptr; }

}  // namespace hadal

#endif
