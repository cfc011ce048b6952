// Gradients of the weights of convolutions by Winograd's algorithm (conv_winograd.cc): sums over tiles.

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/threads.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <vector>

#include "ops/cpu/transpose.h"
#include "ops/cpu/winograd.h"

namespace hadal {

namespace winograd {

namespace {

using onednn::Bridge;
using onednn::Direction;

constexpr std::int64_t kMostTaps = 25;
constexpr std::int64_t kDiffBlockBytes = 256 * 1024;  // of a point, which stays in the second-level cache
constexpr std::int64_t kMostWords = 512;

template <class T>
class Weights final : public Kernel {
 public:
  Weights(const ConvBackwardWeights& op, int threads)
      : shape_(op.shape),
        type_(op.type),
        rows_(op.rows.count),
        threads_(threads),
        tiles_(op.shape),
        parts_{shape_.kernel},
        inputs_(shape_.channels / shape_.groups),
        outputs_(shape_.out / shape_.groups),
        columns_(column_blocks(outputs_)),
        stream_(onednn::cpu_engine()),
        source_(image({rows_, shape_.channels, shape_.height, shape_.width}, op.source)),
        diffs_(image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, op.destination)),
        zeros_(plan_.reserve(static_cast<std::size_t>(std::max(inputs_, outputs_)) * sizeof(float))),
        source_points_(plan_.reserve(points_bytes(rows_of_sums()))),
        diff_points_(plan_.reserve(points_bytes(outputs_))),
        sums_(plan_.reserve(static_cast<std::size_t>(kPoints * rows_of_sums() * outputs_) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const T* x = source_.template place<T>(arguments[0], scratch);
    const T* dy = diffs_.template place<T>(arguments[1], scratch);
    source_.cross(stream_, scratch);
    diffs_.cross(stream_, scratch);
    std::fill_n(reinterpret_cast<float*>(scratch + zeros_), std::max(inputs_, outputs_), 0.0f);
    for (std::int64_t group = 0; group < shape_.groups; ++group) {
      const Images<const T> source{x + group * inputs_, shape_.height, shape_.width, shape_.channels};
      const Images<const T> diffs{dy + group * outputs_, shape_.out_height(), shape_.out_width(), shape_.out};
      float* db = floats_out(arguments, 3) + group * outputs_;
      const std::int64_t all = rows_ * tiles_.of_image();
      std::fill_n(db, outputs_, 0.0f);
      const std::int64_t blocks = (all + block_tiles() - 1) / block_tiles();
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t first = all * block / blocks, tiles = all * (block + 1) / blocks - first;
        transform(source, diffs, first, tiles, scratch);
        add_block(first > 0, words_of(tiles), scratch, db);
      }
      write_weights(scratch, floats_out(arguments, 2) + group * outputs_ * inputs_ * shape_.kernel.area());
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return winograd::implementation(type_); }

 private:
  static constexpr std::int64_t kTiles = kInWord<T>;  // side by side in a word

  Bridge image(const dnnl::memory::dims& dims, Layout layout) {
    return {onednn::image(dims, layout, type_), onednn::image(dims, Layout::channels_last, type_), Direction::read,
            plan_};
  }

  // Points of a block: words [points, channels / 16, tiles, 16], with a line more so that the panels do not share their
  // place in caches.
  std::int64_t rows_of_sums() const { return parts_.count() * inputs_; }
  static std::int64_t words_of(std::int64_t tiles) { return (tiles + kTiles - 1) / kTiles; }
  static std::int64_t panel_rows(std::int64_t words) { return words | 1; }
  std::int64_t block_tiles() const {
    const std::int64_t words = kDiffBlockBytes / static_cast<std::int64_t>(sizeof(float)) / (rows_of_sums() + outputs_);
    return std::clamp<std::int64_t>(words, 16, kMostWords) * kTiles;
  }
  std::size_t points_bytes(std::int64_t channels) const {
    return static_cast<std::size_t>(kPoints * panel_rows(words_of(block_tiles())) * channels) * sizeof(float);
  }

  // The pixels of the tiles of a word, of which the last may have fewer.
  template <int kSize>
  struct WordPixels {
    std::array<std::array<const T*, kSize * kSize>, kTiles> of_tile;
    std::array<const T* const*, kTiles> all;

    WordPixels(const Images<const T>& images, const Tiles& tiles, std::int64_t first, std::int64_t end, Extent before,
               const T* zeros) {
      for (std::size_t t = 0; t < of_tile.size(); ++t) {
        const std::int64_t tile = first + static_cast<std::int64_t>(t);
        if (tile < end) {
          of_tile[t] = tile_pixels<kSize>(images, tiles, tile, before, zeros);
        } else {
          of_tile[t].fill(zeros);
        }
        all[t] = of_tile[t].data();
      }
    }
    WordPixels(const WordPixels&) = delete;
    WordPixels& operator=(const WordPixels&) = delete;
  };

  void transform(const Images<const T>& source, const Images<const T>& diffs, std::int64_t first, std::int64_t tiles,
                 std::byte* scratch) const {
    const auto* zeros = reinterpret_cast<const T*>(scratch + zeros_);
    auto* points = reinterpret_cast<float*>(scratch + source_points_);
    auto* diff_points = reinterpret_cast<float*>(scratch + diff_points_);
    const std::int64_t words = words_of(tiles), next = panel_rows(words), past = first + tiles;
    parallel_for(threads_, words, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t word = begin; word < end; ++word) {
        const std::int64_t tile = first + word * kTiles;
        for (std::int64_t part = 0; part < parts_.count(); ++part) {
          const Extent before{shape_.pad.height - parts_.first(part).height,
                              shape_.pad.width - parts_.first(part).width};
          for (std::int64_t ahead = tile + kAhead; part == 0 && ahead < std::min(tile + kAhead + kTiles, past); ++ahead)
            prefetch_tile(tile_pixels<4>(source, tiles_, ahead, before, zeros), inputs_);
          const WordPixels<4> pixels(source, tiles_, tile, past, before, zeros);
          parts_.with_points(part, [&](auto wanted) {
            source_words<decltype(wanted), T>(
                pixels.all.data(), inputs_,
                {points + part * inputs_ * next + word * kVector, rows_of_sums() * next, next * kVector});
          });
        }
        const WordPixels<2> pixels(diffs, tiles_, tile, past, 0, zeros);
        diff_words<T>(pixels.all.data(), outputs_, {diff_points + word * kVector, outputs_ * next, next * kVector});
      }
    });
  }

  void add_block(bool add, std::int64_t words, std::byte* scratch, float* db) const {
    const auto* points = reinterpret_cast<const float*>(scratch + source_points_);
    const auto* diff_points = reinterpret_cast<const float*>(scratch + diff_points_);
    auto* sums = reinterpret_cast<float*>(scratch + sums_);
    const auto blocks = static_cast<std::int64_t>(columns_.size());
    const std::int64_t next = panel_rows(words);
    parallel_for(threads_, kPoints * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t point = i / blocks;
        const ColumnBlock& block = columns_[static_cast<std::size_t>(i % blocks)];
        const float* diffs = diff_points + (point * outputs_ + block.first) * next;
        TileProduct p{.a = nullptr,
                      .b = diffs,
                      .c = nullptr,
                      .a_row = 1,
                      .a_next = kVector,
                      .b_next = kVector,
                      .b_vector = next * kVector,
                      .c_pitch = outputs_,
                      .terms = words,
                      .add = add};
        parts_.for_runs(point, [&](std::int64_t part, std::int64_t count) {
          for (std::int64_t row = part * inputs_; row < (part + count) * inputs_; row += kRows) {
            p.a = points + (point * rows_of_sums() + row / kVector * kVector) * next + row % kVector;
            p.c = sums + (point * rows_of_sums() + row) * outputs_ + block.first;
            multiply_rows<T>(p, kRows, block.registers);
          }
        });
        if (point != kBiasPoint) continue;
        for (std::int64_t c = 0; c < block.width(); c += kVector) {
          add_words<T>(diffs + c * next, words, db + block.first + c);
        }
      }
    });
  }

  // The second row of A has ones alone: this point is the sum of a tile's gradients.
  static constexpr std::int64_t kBiasPoint = kSide + 1;

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
            write_kernel_diffs(sums + (part * inputs_ + first + input) * outputs_ + output, next_point, kVector,
                               taps.data());
          }
          transpose(lines, kKernelInputs * area, kVector, kVector, nullptr, dw + (output * inputs_ + first) * area,
                    inputs_ * area);
        }
      }
    });
  }

  ConvShape shape_;
  DType type_;
  std::int64_t rows_;
  int threads_;
  Tiles tiles_;
  KernelParts parts_;
  std::int64_t inputs_, outputs_;  // of a group
  std::vector<ColumnBlock> columns_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, diffs_;
  std::size_t zeros_, source_points_, diff_points_, sums_;
};

}  // namespace

}  // namespace winograd

std::unique_ptr<Kernel> bind_winograd(const ConvBackwardWeights& op, int threads) {
  if (!winograd::is_preferred(op.shape, op.type)) return nullptr;
  const OmpThreads scope(threads);
  if (op.type == DType::f32) return std::make_unique<winograd::Weights<float>>(op, threads);
  return std::make_unique<winograd::Weights<Bf16>>(op, threads);
}

}  // namespace hadal

#else

namespace hadal {

std::unique_ptr<Kernel> bind_winograd(const ConvBackwardWeights&, int) { return nullptr; }

}  // namespace hadal

#endif
