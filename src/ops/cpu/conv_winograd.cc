// Convolutions of 3x3 and 5x5 kernels by Winograd's minimal filtering F(2x2, 3x3) (Winograd 1980; Lavin and Gray 2015):
// 16 multiplications for 2 x 2 numbers of the destination instead of 36. The formulas are in winograd_tile.h; gradients
// of weights in conv_winograd_weights.cc.
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
// of its tile than those that see it.
//
// Errors in fp32 are those of direct sums, or less. In bf16 points are rounded before they are multiplied, which direct
// sums' numbers need not be: errors are about two and a half times those of rounding the result (docs/performance.md).

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/threads.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <vector>

#include "ops/cpu/simd.h"
#include "ops/cpu/transpose.h"
#include "ops/cpu/winograd.h"

namespace hadal {

namespace winograd {

namespace {

using onednn::Bridge;
using onednn::Direction;

// A block of tiles: what products read again and again should stay in the second-level cache.
constexpr std::int64_t kBlockBytes = 512 * 1024;

// Words from row to row of the points' matrices: rows apart by a multiple of 4 KB would share their place in caches.
std::int64_t point_pitch(std::int64_t words) { return words + kVector; }

// The convolution that computes a forward pass or, by turned kernels whose inputs and outputs change places, gradients
// of the data. Images and weights are of type T.
template <class T>
class Convolution final : public Kernel {
 public:
  // `shape`: of the convolution that is computed.
  Convolution(const ConvShape& shape, DType type, bool turned, std::int64_t rows, Layout source, Layout destination,
              int threads)
      : shape_(shape),
        type_(type),
        turned_(turned),
        rows_(rows),
        threads_(threads),
        tiles_(shape),
        parts_{shape.kernel},
        inputs_(shape.channels / shape.groups),
        outputs_(shape.out / shape.groups),
        columns_(column_blocks(outputs_)),
        stream_(onednn::cpu_engine()),
        source_(image({rows, shape.channels, shape.height, shape.width}, source, Direction::read)),
        destination_(image({rows, shape.out, shape.out_height(), shape.out_width()}, destination, Direction::write)),
        zeros_(plan_.reserve(static_cast<std::size_t>(zeros()) * sizeof(float))),
        kernels_(plan_.reserve(static_cast<std::size_t>(kPoints * terms() * outputs_) * sizeof(float))),
        own_(plan_.reserve(static_cast<std::size_t>(threads * own_floats()) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const T* x = source_.template place<T>(arguments[0], scratch);
    T* y = destination_.template place<T>(arguments[turned_ ? 2 : 3], scratch);
    source_.cross(stream_, scratch);
    std::fill_n(reinterpret_cast<float*>(scratch + zeros_), zeros(), 0.0f);
    for (std::int64_t group = 0; group < shape_.groups; ++group) {
      const auto* weight = reinterpret_cast<const T*>(arguments[1]);
      transform_kernels(weight + group * outputs_ * inputs_ * shape_.kernel.area(), scratch);
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
  std::string implementation() const override { return winograd::implementation(type_); }

 private:
  struct Group {
    Images<const T> source;
    Images<T> destination;
    const float* bias;
  };

  Bridge image(const dnnl::memory::dims& dims, Layout layout, Direction direction) {
    return {onednn::image(dims, layout, type_), onednn::image(dims, Layout::channels_last, type_), direction, plan_};
  }

  std::int64_t words() const { return inputs_ / kInWord<T>; }      // of a part's sum
  std::int64_t terms() const { return parts_.count() * words(); }  // of a sum
  std::int64_t pitch() const { return point_pitch(terms()); }
  std::int64_t zeros() const { return std::max(inputs_, columns_.front().width()); }
  std::int64_t tile_floats() const { return kPoints * (pitch() + columns_.front().width()); }
  std::int64_t block_tiles() const {
    const std::int64_t fit = kBlockBytes / static_cast<std::int64_t>(sizeof(float)) / tile_floats();
    return std::max<std::int64_t>(fit / kRows, 2) * kRows;
  }
  std::int64_t kernel_floats() const { return kKernelInputs * shape_.kernel.area() * columns_.front().width(); }
  std::int64_t own_floats() const { return std::max(block_tiles() * tile_floats(), kInWord<T> * kernel_floats()); }
  float* own(std::byte* scratch, std::int64_t thread) const {
    return reinterpret_cast<float*>(scratch + own_) + thread * own_floats();
  }

  // The points of a group's kernels: by blocks of outputs, [points, parts, words of inputs, outputs of the block].
  void transform_kernels(const T* weight, std::byte* scratch) const {
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
  void transform_kernels(const T* weight, const ColumnBlock& block, std::int64_t first, std::int64_t count,
                         float* lines, std::byte* scratch) const {
    const std::int64_t width = block.width(), area = shape_.kernel.area();
    if (turned_) {
      for (std::int64_t i = 0; i < count; ++i) {
        transpose_kernels(weight + ((first + i) * outputs_ + block.first) * area, width, area, area,
                          lines + i * area * width);
      }
    } else {
      transpose_kernels(weight + (block.first * inputs_ + first) * area, width, count * area, inputs_ * area, lines);
    }
    const auto* zeros = reinterpret_cast<const float*>(scratch + zeros_);
    float* points = reinterpret_cast<float*>(scratch + kernels_) + block.first * kPoints * terms();
    for (std::int64_t part = 0; part < parts_.count(); ++part) {
      for (std::int64_t i = 0; i < count; i += kInWord<T>) {
        std::array<std::array<const float*, 9>, kInWord<T>> taps;
        std::array<const float* const*, kInWord<T>> of_kernel;
        for (std::size_t k = 0; k < taps.size(); ++k) {
          taps[k] = parts_.taps<const float>(part, lines + (i + static_cast<std::int64_t>(k)) * area * width, width,
                                             turned_, zeros);
          of_kernel[k] = taps[k].data();
        }
        float* to = points + (part * words() + (first + i) / kInWord<T>)*width;
        kernel_words<T>(of_kernel.data(), width, to, terms() * width);
      }
    }
  }

  // lines[column * rows + row] = from[row * pitch + column], in fp32; bf16 numbers are widened behind the lines.
  void transpose_kernels(const T* from, std::int64_t rows, std::int64_t columns, std::int64_t pitch,
                         float* lines) const {
    if constexpr (std::is_same_v<T, float>) {
      transpose(from, rows, columns, pitch, nullptr, lines, rows);
    } else {
      float* wide = lines + kernel_floats();
      for (std::int64_t row = 0; row < rows; ++row) widen(from + row * pitch, columns, wide + row * columns);
      transpose(wide, rows, columns, columns, nullptr, lines, rows);
    }
  }

  void run_block(const Group& group, std::int64_t first, std::int64_t tiles, float* points,
                 const std::byte* scratch) const {
    const auto* zeros = reinterpret_cast<const T*>(scratch + zeros_);
    const auto* kernels = reinterpret_cast<const float*>(scratch + kernels_);
    const std::int64_t next_point = tiles * pitch();
    for (std::int64_t part = 0; part < parts_.count(); ++part) {
      const Extent before{shape_.pad.height - parts_.first(part).height, shape_.pad.width - parts_.first(part).width};
      const auto pixels = [&](std::int64_t t) {
        return tile_pixels<4>(group.source, tiles_, first + t, before, zeros);
      };
      for (std::int64_t t = 0; t < tiles; ++t) {
        if (part == 0 && t + kAhead < tiles) prefetch_tile(pixels(t + kAhead), inputs_);
        parts_.with_points(part, [&](auto wanted) {
          source_points<decltype(wanted)>(pixels(t).data(), inputs_,
                                          {points + t * pitch() + part * words(), next_point, kVector / kInWord<T>});
        });
      }
    }
    float* sums = points + kPoints * next_point;
    for (const ColumnBlock& block : columns_) {
      const std::int64_t width = block.width();
      for (std::int64_t point = 0; point < kPoints; ++point) {
        parts_.for_runs(point, [&](std::int64_t part, std::int64_t count) {
          multiply_rows<T>({.a = points + point * next_point + part * words(),
                            .b = kernels + block.first * kPoints * terms() + (point * terms() + part * words()) * width,
                            .c = sums + point * tiles * width,
                            .a_row = pitch(),
                            .a_next = 1,
                            .b_next = width,
                            .b_vector = kVector,
                            .c_pitch = width,
                            .terms = count * words(),
                            .add = part > 0},
                           tiles, block.registers);
        });
      }
      const float* bias = group.bias == nullptr ? nullptr : group.bias + block.first;
      Images<T> outputs = group.destination;
      outputs.data += block.first;
      for (std::int64_t t = 0; t < tiles; ++t) {
        const auto pixels = tile_pixels<2, T>(outputs, tiles_, first + t, 0, nullptr);
        write_destination(sums + t * width, tiles * width, bias, width, pixels.data());
      }
    }
  }

  ConvShape shape_;
  DType type_;
  bool turned_;
  std::int64_t rows_;
  int threads_;
  Tiles tiles_;
  KernelParts parts_;
  std::int64_t inputs_, outputs_;  // of a group
  std::vector<ColumnBlock> columns_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, destination_;
  std::size_t zeros_, kernels_, own_;
};

std::unique_ptr<Kernel> bind(const ConvShape& shape, DType type, bool turned, std::int64_t rows, Layout source,
                             Layout destination, int threads) {
  // Sums of 16 channels in bf16 are as fast directly, and more exact.
  if (type == DType::bf16 && shape.channels / shape.groups < 2 * kVector) return nullptr;
  const OmpThreads scope(threads);
  if (type == DType::f32)
    return std::make_unique<Convolution<float>>(shape, type, turned, rows, source, destination, threads);
  return std::make_unique<Convolution<Bf16>>(shape, type, turned, rows, source, destination, threads);
}

// How often a number of the destination meets one of the source along a side.
std::int64_t meetings(std::int64_t size, std::int64_t pad, std::int64_t kernel) {
  std::int64_t count = 0;
  for (std::int64_t first = -pad; first + kernel <= size + pad; ++first) {
    count += std::max<std::int64_t>(std::min(first + kernel, size) - std::max<std::int64_t>(first, 0), 0);
  }
  return count;
}

}  // namespace

bool is_preferred(const ConvShape& s, DType type) {
  const auto is_side = [](std::int64_t kernel) { return kernel == 3 || kernel == 5; };
  if (onednn::vector_floats() != kVector || !__builtin_cpu_supports("avx512bw")) return false;
  if (type != DType::f32 && !(type == DType::bf16 && onednn::has_bf16())) return false;
  if (!is_side(s.kernel.height) || !is_side(s.kernel.width)) return false;
  if (s.stride != 1 || s.dilation != 1) return false;
  const std::int64_t inputs = s.channels / s.groups, outputs = s.out / s.groups;
  // With 16 channels on both sides the sums are too short for what is around them.
  if (inputs % kVector != 0 || outputs % kVector != 0 || inputs * outputs < 2 * kVector * kVector) return false;
  // Tiles reach over the edges of an image, where direct kernels have less to multiply.
  const std::int64_t direct =
      meetings(s.height, s.pad.height, s.kernel.height) * meetings(s.width, s.pad.width, s.kernel.width);
  return Tiles(s).of_image() * KernelParts{s.kernel}.multiplications() * 4 <= direct * 3;
}

}  // namespace winograd

std::unique_ptr<Kernel> bind_winograd(const ConvForward& op, int threads) {
  if (op.destination_type != op.type || !winograd::is_preferred(op.shape, op.type)) return nullptr;
  return winograd::bind(op.shape, op.type, false, op.rows.count, op.source, op.destination, threads);
}

std::unique_ptr<Kernel> bind_winograd(const ConvBackwardData& op, int threads) {
  const ConvShape& s = op.shape;
  const Extent pad{s.kernel.height - 1 - s.pad.height, s.kernel.width - 1 - s.pad.width};
  if (!winograd::is_preferred(s, op.type) || pad.height < 0 || pad.width < 0) return nullptr;
  const ConvShape turned{.channels = s.out,
                         .height = s.out_height(),
                         .width = s.out_width(),
                         .out = s.channels,
                         .kernel = s.kernel,
                         .pad = pad,
                         .groups = s.groups};
  if (!winograd::is_preferred(turned, op.type)) return nullptr;
  return winograd::bind(turned, op.type, true, op.rows.count, op.destination, op.source, threads);
}

}  // namespace hadal

#else

namespace hadal {

std::unique_ptr<Kernel> bind_winograd(const ConvForward&, int) { return nullptr; }
std::unique_ptr<Kernel> bind_winograd(const ConvBackwardData&, int) { return nullptr; }

}  // namespace hadal

#endif
