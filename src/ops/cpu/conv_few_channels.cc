// Convolutions in bf16 of images of few channels, such as a network's input: a line of the kernel's window is a run of
// kernel width * channels numbers side by side, which makes pairs for the instructions of AVX512_BF16 (oneDNN makes
// them of channels, and fills up what is missing with zeros). A run of odd length takes the number after it, times
// zero.
//
// The registers hold the sums of a tile: 8 pixels of a line of the destination by up to 48 outputs. The last tile of a
// line may overlap the one before it. Each number is added up by itself in one order, so a sample's do not depend on
// the others.

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

#if defined(__x86_64__)

#include <algorithm>

#include "ops/cpu/bf16_tile.h"

namespace hadal {

namespace {

using onednn::Bridge;
using onednn::Direction;

std::int64_t run_numbers(const ConvShape& s) { return s.kernel.width * s.channels; }
std::int64_t run_pairs(const ConvShape& s) { return padded(run_numbers(s), 2) / 2; }

[[HADAL_BF16_TARGET]] void write_row(const float* sums, std::int64_t count, Bf16* to) { narrow(sums, count, to); }
void write_row(const float* sums, std::int64_t count, float* to) { std::copy_n(sums, count, to); }

// T: of the destination.
template <class T>
class ForwardOfFewChannels final : public Kernel {
 public:
  ForwardOfFewChannels(const ConvForward& op, int threads)
      : shape_(op.shape),
        rows_(op.rows.count),
        threads_(threads),
        blocks_(column_blocks(op.shape.out)),
        stream_(onednn::cpu_engine()),
        source_(onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, op.source, op.type),
                onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, Layout::channels_last, op.type),
                Direction::read, plan_),
        destination_(onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, op.destination,
                                   op.destination_type),
                     onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, Layout::channels_last,
                                   op.destination_type),
                     Direction::write, plan_),
        weights_(plan_.reserve(static_cast<std::size_t>(lines() * padded_outputs() * 2) * sizeof(Bf16))),
        bias_(plan_.reserve(static_cast<std::size_t>(padded_outputs()) * sizeof(float))),
        images_(plan_.reserve(static_cast<std::size_t>(threads * image_numbers()) * sizeof(Bf16))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const auto* x = source_.place<Bf16>(arguments[0], scratch);
    auto* y = destination_.place<T>(arguments[3], scratch);
    source_.cross(stream_, scratch);
    lay_out_weights(argument<const Bf16>(arguments, 1), floats_in(arguments, 2), scratch);
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        Bf16* image = reinterpret_cast<Bf16*>(scratch + images_) + thread * image_numbers();
        std::fill_n(image, image_numbers(), Bf16{});
        for (std::int64_t n = rows_ * thread / threads_; n < rows_ * (thread + 1) / threads_; ++n) {
          lay_out_image(x + n * shape_.channels * shape_.height * shape_.width, image);
          run_sample(image, scratch, y + n * shape_.out * shape_.out_height() * shape_.out_width());
        }
      }
    });
    destination_.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "few channels:avx512_core_bf16"; }

 private:
  std::int64_t lines() const { return shape_.kernel.height * run_pairs(shape_); }  // pairs of a window
  std::int64_t padded_outputs() const { return blocks_.back().first + blocks_.back().width(); }
  std::int64_t line_numbers() const { return (shape_.width + 2 * shape_.pad.width) * shape_.channels; }
  // A padded image, and a number past it for the last run.
  std::int64_t image_numbers() const {
    return padded((shape_.height + 2 * shape_.pad.height) * line_numbers() + 1, 32);
  }

  // The weights of each block of outputs as [kernel height, pairs of a run, outputs, 2], and the padded bias.
  void lay_out_weights(const Bf16* weight, const float* bias, std::byte* scratch) const {
    auto* to = reinterpret_cast<Bf16*>(scratch + weights_);
    const std::int64_t channels = shape_.channels;
    const auto [kernel_height, kernel_width] = shape_.kernel;
    for (const ColumnBlock& block : blocks_) {
      for (std::int64_t ky = 0; ky < kernel_height; ++ky) {
        for (std::int64_t pair = 0; pair < run_pairs(shape_); ++pair) {
          for (std::int64_t o = 0; o < block.width(); ++o) {
            for (std::int64_t i = 2 * pair; i < 2 * pair + 2; ++i, ++to) {
              const bool padding = o >= block.columns || i >= run_numbers(shape_);
              const std::int64_t c = i % channels, kx = i / channels;
              *to = padding ? Bf16{}
                            : weight[(((block.first + o) * channels + c) * kernel_height + ky) * kernel_width + kx];
            }
          }
        }
      }
    }
    auto* padded_bias = reinterpret_cast<float*>(scratch + bias_);
    std::copy_n(bias, shape_.out, padded_bias);
    std::fill(padded_bias + shape_.out, padded_bias + padded_outputs(), 0.0f);
  }

  // The edges of `image` are zero already.
  void lay_out_image(const Bf16* x, Bf16* image) const {
    const std::int64_t width = shape_.width * shape_.channels;
    for (std::int64_t row = 0; row < shape_.height; ++row) {
      std::copy_n(x + row * width, width,
                  image + (row + shape_.pad.height) * line_numbers() + shape_.pad.width * shape_.channels);
    }
  }

  void run_sample(const Bf16* image, const std::byte* scratch, T* y) const {
    for (std::int64_t line = 0; line < shape_.out_height(); ++line) {
      const Bf16* source = image + line * shape_.stride.height * line_numbers();
      T* to = y + line * shape_.out_width() * shape_.out;
      for (const ColumnBlock& block : blocks_) {
        if (block.registers == 3) {
          run_line<3>(source, block, scratch, to);
        } else if (block.registers == 2) {
          run_line<2>(source, block, scratch, to);
        } else {
          run_line<1>(source, block, scratch, to);
        }
      }
    }
  }

  template <int kRegisters>
  [[HADAL_BF16_TARGET]] void run_line(const Bf16* source, const ColumnBlock& block, const std::byte* scratch,
                                      T* to) const {
    constexpr std::int64_t kWidth = kRegisters * kTileColumns;
    const float* bias = reinterpret_cast<const float*>(scratch + bias_) + block.first;
    const std::int64_t step = shape_.stride.width * shape_.channels;
    PairTile tile{.rows = nullptr,
                  .columns = reinterpret_cast<const Bf16*>(scratch + weights_) + block.first * lines() * 2,
                  .lines = shape_.kernel.height,
                  .width = run_pairs(shape_),
                  .next_line = line_numbers(),
                  .next = 2,
                  .next_row = step};
    alignas(64) float sums[kTileRows * kWidth];
    for (std::int64_t x = 0; x < shape_.out_width(); x += kTileRows) {
      const std::int64_t first = std::min(x, shape_.out_width() - kTileRows);
      tile.rows = source + first * step;
      // In whole registers, as they are loaded again: the processor waits for a store of less.
      for (std::int64_t i = 0; i < kTileRows * kWidth; i += kTileColumns) {
        _mm512_store_ps(sums + i, _mm512_loadu_ps(bias + i % kWidth));
      }
      add_pairs<kRegisters, 0>(tile, sums);
      for (std::int64_t i = 0; i < kTileRows; ++i) {
        write_row(sums + i * kWidth, block.columns, to + (first + i) * shape_.out + block.first);
      }
    }
  }

  ConvShape shape_;
  std::int64_t rows_;
  int threads_;
  std::vector<ColumnBlock> blocks_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, destination_;
  std::size_t weights_, bias_, images_;
};

}  // namespace

std::unique_ptr<Kernel> bind_few_channels(const ConvForward& op, int threads) {
  const ConvShape& s = op.shape;
  if (op.type != DType::bf16 || !onednn::has_bf16()) return nullptr;
  if (op.rows.count == 0 || s.groups > 1 || s.dilation != 1 || s.channels > 4 || s.out_width() < kTileRows)
    return nullptr;
  const OmpThreads scope(threads);
  if (op.destination_type == DType::bf16) return std::make_unique<ForwardOfFewChannels<Bf16>>(op, threads);
  return std::make_unique<ForwardOfFewChannels<float>>(op, threads);
}

}  // namespace hadal

#else

namespace hadal {

std::unique_ptr<Kernel> bind_few_channels(const ConvForward&, int) { return nullptr; }

}  // namespace hadal

#endif
