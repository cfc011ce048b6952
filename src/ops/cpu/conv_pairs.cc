// Weight gradients of convolutions in bf16, by instructions that multiply pairs of bf16 numbers and add both products
// to an fp32 number (AVX512_BF16). A pair is a number of two samples at the same place: to bring their images together
// is to interleave them, however channels and pixels lie, and no pixel is left without its pair.
//
//   diff_weight[o, i, ky, kx] = sum over pairs of samples and pixels y, x of the destination of
//                               diff_destination[o, y, x] . source[i, y stride + ky, x stride + kx]
//
// The registers hold the sums of a tile: 8 inputs by up to 48 outputs. What it reads is laid out for it: the source by
// blocks of 8 channels, or of all channels of a group where these are not in 8s, padded; the diffs by blocks of the
// tile's outputs; each [pairs, pixels, channels of the block, 2]. So a line of the kernel is a run of kernel.width *
// channels inputs side by side, of which a tile takes 8; the last tile of a run may overlap the one before it, with
// equal sums. Lines of the diffs that fit the first-level cache go through all tiles of a block.
//
// Sums are added up in the order of pairs and pixels, whatever the number of threads.

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/threads.h"

#if defined(__x86_64__)

#include <algorithm>

#include "ops/cpu/bf16_tile.h"

namespace hadal {

namespace {

using onednn::Bridge;
using onednn::Direction;

constexpr std::int64_t kInputs = kTileRows;   // of a tile, or one less where more of a run's fit
constexpr std::int64_t kCachedBytes = 32768;  // of diffs

// to[i] = {a[i], b[i]}; b may be null, for zeros.
[[gnu::always_inline]] inline void interleave(const Bf16* a, const Bf16* b, std::int64_t count, Bf16* to) {
  const auto load = [](const Bf16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
  const auto store = [](Bf16* at, __m128i numbers) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), numbers); };
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i first = load(a + i), second = b == nullptr ? _mm_setzero_si128() : load(b + i);
    store(to + 2 * i, _mm_unpacklo_epi16(first, second));
    store(to + 2 * i + 8, _mm_unpackhi_epi16(first, second));
  }
  for (; i < count; ++i) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b == nullptr ? Bf16{} : b[i];
  }
}

// sums[output] += the diffs, both of each pair; [kRegisters * 16].
template <int kRegisters>
[[HADAL_BF16_TARGET]] void add_bias(const Bf16* diffs, std::int64_t pixels, float* sums) {
  const auto ones = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(0x3f803f80));
  __m512 sum[kRegisters];
#pragma GCC unroll 3
  for (int r = 0; r < kRegisters; ++r) sum[r] = _mm512_loadu_ps(sums + r * kTileColumns);
  for (std::int64_t i = 0; i < pixels; ++i, diffs += 2 * kRegisters * kTileColumns) {
#pragma GCC unroll 3
    for (int r = 0; r < kRegisters; ++r) {
      const auto diff = __builtin_bit_cast(__m512bh, _mm512_loadu_si512(diffs + 2 * r * kTileColumns));
      sum[r] = _mm512_dpbf16_ps(sum[r], diff, ones);
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < kRegisters; ++r) _mm512_storeu_ps(sums + r * kTileColumns, sum[r]);
}

// Channels of a block of the source.
std::int64_t block_channels(const ConvShape& s) {
  const std::int64_t inputs = s.channels / s.groups;
  return inputs % kInputs == 0 ? kInputs : inputs;
}

class WeightsByPairs final : public Kernel {
 public:
  WeightsByPairs(const ConvBackwardWeights& op, int threads)
      : shape_(op.shape),
        rows_(op.rows.count),
        pairs_((op.rows.count + 1) / 2),
        threads_(threads),
        block_channels_(block_channels(op.shape)),
        tile_inputs_(padded(run_inputs(), kInputs - 1) < padded(run_inputs(), kInputs) ? kInputs - 1 : kInputs),
        blocks_(column_blocks(op.shape.out / op.shape.groups)),
        stream_(onednn::cpu_engine()),
        source_(onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, op.source, op.type),
                onednn::image({rows_, shape_.channels, shape_.height, shape_.width}, Layout::channels_last, op.type),
                Direction::read, plan_),
        diffs_(
            onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, op.destination, op.type),
            onednn::image({rows_, shape_.out, shape_.out_height(), shape_.out_width()}, Layout::channels_last, op.type),
            Direction::read, plan_),
        source_pairs_(plan_.reserve(static_cast<std::size_t>(pairs_ * shape_.channels * padded_pixels()) * kPair)),
        diff_pairs_(
            plan_.reserve(static_cast<std::size_t>(pairs_ * shape_.groups * padded_outputs() * pixels()) * kPair)),
        sums_(plan_.reserve(static_cast<std::size_t>(threads * sums_floats()) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const auto* x = source_.place<Bf16>(arguments[0], scratch);
    const auto* dy = diffs_.place<Bf16>(arguments[1], scratch);
    source_.cross(stream_, scratch);
    diffs_.cross(stream_, scratch);
    auto* source_pairs = reinterpret_cast<Bf16*>(scratch + source_pairs_);
    auto* diff_pairs = reinterpret_cast<Bf16*>(scratch + diff_pairs_);
    parallel_for(threads_, pairs_, 1, [&](std::int64_t first, std::int64_t past) {
      for (std::int64_t pair = first; pair < past; ++pair) {
        lay_out_source(x, pair, source_pairs);
        lay_out_diffs(dy, pair, diff_pairs);
      }
    });
    const auto blocks = static_cast<std::int64_t>(blocks_.size()), inputs = input_blocks();
    // Lines of the kernel apart from each other only where there are threads for them: they read the same diffs.
    const std::int64_t whole = shape_.groups * blocks * inputs;
    const std::int64_t splits = whole < threads_ ? shape_.kernel.height : 1, lines = shape_.kernel.height / splits;
    const std::int64_t all = whole * splits;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        float* sums = reinterpret_cast<float*>(scratch + sums_) + thread * sums_floats();
        for (std::int64_t t = all * thread / threads_; t < all * (thread + 1) / threads_; ++t) {
          const std::int64_t w = t / splits, group = w / inputs / blocks;
          const ColumnBlock& block = blocks_[static_cast<std::size_t>(w / inputs % blocks)];
          const Blocks of{group, w % inputs, block, t % splits * lines, lines};
          const auto run = tile_inputs_ == kInputs ? run_blocks_of<kInputs>(block) : run_blocks_of<kInputs - 1>(block);
          (this->*run)(of, source_pairs, diff_pairs, sums, floats_out(arguments, 2), floats_out(arguments, 3));
        }
      }
    });
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "pairs:avx512_core_bf16"; }

 private:
  static constexpr std::size_t kPair = 2 * sizeof(Bf16);

  // Lines of the kernel for a block of inputs and one of outputs.
  struct Blocks {
    std::int64_t group, inputs;
    ColumnBlock outputs;
    std::int64_t first_line, lines;

    bool has_bias() const { return inputs == 0 && first_line == 0; }
  };

  std::int64_t pixels() const { return shape_.out_height() * shape_.out_width(); }
  std::int64_t padded_width() const { return shape_.width + 2 * shape_.pad.width; }
  std::int64_t padded_pixels() const { return (shape_.height + 2 * shape_.pad.height) * padded_width(); }
  std::int64_t padded_outputs() const { return padded(shape_.out / shape_.groups, kTileColumns); }
  std::int64_t input_blocks() const { return shape_.channels / shape_.groups / block_channels_; }
  std::int64_t run_inputs() const { return shape_.kernel.width * block_channels_; }
  std::int64_t run_tiles() const { return padded(run_inputs(), tile_inputs_) / tile_inputs_; }
  // The first input of a tile in its run.
  std::int64_t first_input(std::int64_t tile) const {
    return std::min(tile % run_tiles() * tile_inputs_, run_inputs() - tile_inputs_);
  }
  // Sums of all tiles of a block, and of the bias.
  std::int64_t sums_floats() const {
    return (shape_.kernel.height * run_tiles() * tile_inputs_ + 1) * kMostRegisters * kTileColumns;
  }

  // The first of two samples and the second, null where there is none.
  struct Samples {
    const Bf16 *first, *second;

    Samples(const Bf16* images, std::int64_t image, std::int64_t pair, std::int64_t rows)
        : first(images + 2 * pair * image), second(2 * pair + 1 < rows ? first + image : nullptr) {}
    const Bf16* second_at(std::int64_t i) const { return second == nullptr ? nullptr : second + i; }
  };

  void lay_out_source(const Bf16* x, std::int64_t pair, Bf16* to) const {
    const ConvShape& s = shape_;
    const Samples samples(x, s.height * s.width * s.channels, pair, rows_);
    const std::int64_t pixel = 2 * block_channels_, line = padded_width() * pixel, image = padded_pixels() * pixel;
    const bool whole_rows = block_channels_ == s.channels;
    for (std::int64_t block = 0; block < s.channels / block_channels_; ++block) {
      Bf16* at = to + (block * pairs_ + pair) * image;
      if (s.pad != 0) std::fill_n(at, image, Bf16{});
      for (std::int64_t y = 0; y < s.height; ++y) {
        Bf16* row = at + (y + s.pad.height) * line + s.pad.width * pixel;
        const std::int64_t first = y * s.width * s.channels + block * block_channels_;
        if (whole_rows) {
          interleave(samples.first + first, samples.second_at(first), s.width * s.channels, row);
          continue;
        }
        for (std::int64_t i = 0; i < s.width; ++i) {
          const std::int64_t from = first + i * s.channels;
          interleave(samples.first + from, samples.second_at(from), block_channels_, row + i * pixel);
        }
      }
    }
  }

  // Where the pairs of a block of outputs begin: block after block, [pairs, pixels, outputs, 2] each.
  std::int64_t diffs_at(std::int64_t group, const ColumnBlock& block, std::int64_t pair) const {
    return ((group * padded_outputs() + block.first) * pairs_ + pair * block.width()) * pixels() * 2;
  }

  void lay_out_diffs(const Bf16* dy, std::int64_t pair, Bf16* to) const {
    const Samples samples(dy, pixels() * shape_.out, pair, rows_);
    for (std::int64_t group = 0; group < shape_.groups; ++group) {
      for (const ColumnBlock& block : blocks_) {
        Bf16* at = to + diffs_at(group, block, pair);
        const std::int64_t first = group * (shape_.out / shape_.groups) + block.first;
        for (std::int64_t i = 0; i < pixels(); ++i, at += 2 * block.width()) {
          const std::int64_t from = i * shape_.out + first;
          interleave(samples.first + from, samples.second_at(from), block.columns, at);
          std::fill(at + 2 * block.columns, at + 2 * block.width(), Bf16{});
        }
      }
    }
  }

  using RunBlocks = void (WeightsByPairs::*)(const Blocks&, const Bf16*, const Bf16*, float*, float*, float*) const;
  template <int kRows>
  static RunBlocks run_blocks_of(const ColumnBlock& block) {
    if (block.registers == 3) return &WeightsByPairs::run_blocks<3, kRows>;
    if (block.registers == 2) return &WeightsByPairs::run_blocks<2, kRows>;
    return &WeightsByPairs::run_blocks<1, kRows>;
  }

  template <int kRegisters, int kRows>
  void run_blocks(const Blocks& of, const Bf16* source_pairs, const Bf16* diff_pairs, float* sums, float* dw,
                  float* db) const {
    const ConvShape& s = shape_;
    constexpr std::int64_t kWidth = kRegisters * kTileColumns;
    const std::int64_t pixel = 2 * block_channels_, line = padded_width() * pixel, image = padded_pixels() * pixel;
    const std::int64_t tiles = of.lines * run_tiles();
    float* bias = sums + tiles * kRows * kWidth;
    std::fill_n(sums, (tiles * kRows + 1) * kWidth, 0.0f);
    const std::int64_t line_bytes = s.out_width() * kWidth * static_cast<std::int64_t>(kPair);
    const std::int64_t most_lines = std::clamp<std::int64_t>(kCachedBytes / line_bytes, 1, s.out_height());
    for (std::int64_t pair = 0; pair < pairs_; ++pair) {
      const Bf16* source = source_pairs + ((of.group * input_blocks() + of.inputs) * pairs_ + pair) * image;
      const Bf16* diffs = diff_pairs + diffs_at(of.group, of.outputs, pair);
      for (std::int64_t y = 0; y < s.out_height(); y += most_lines) {
        PairTile from{.rows = nullptr,
                      .columns = diffs + y * s.out_width() * kWidth * 2,
                      .lines = std::min(most_lines, s.out_height() - y),
                      .width = s.out_width(),
                      .next_line = s.stride.height * line,
                      .next = s.stride.width * pixel,
                      .next_row = 2};
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
          from.rows =
              source + (y * s.stride.height + of.first_line + tile / run_tiles()) * line + 2 * first_input(tile);
          add_pairs<kRegisters, 2, kRows>(from, sums + tile * kRows * kWidth);
        }
        if (of.has_bias()) add_bias<kRegisters>(from.columns, from.lines * from.width, bias);
      }
    }
    const std::int64_t first = of.group * (s.out / s.groups) + of.outputs.first;
    for (std::int64_t o = 0; o < of.outputs.columns; ++o) write_weights(of, first + o, sums + o, kWidth, dw);
    if (of.has_bias()) std::copy_n(bias, of.outputs.columns, db + first);
  }

  // The gradients of an output's weights, each `stride` after the one before it in the sums of the tiles.
  void write_weights(const Blocks& of, std::int64_t output, const float* sums, std::int64_t stride, float* dw) const {
    const std::int64_t inputs = input_blocks() * block_channels_;
    const auto [kernel_height, kernel_width] = shape_.kernel;
    float* to = dw + (output * inputs + of.inputs * block_channels_) * shape_.kernel.area();
    for (std::int64_t tile = 0; tile < of.lines * run_tiles(); ++tile) {
      const std::int64_t ky = of.first_line + tile / run_tiles(), first = first_input(tile);
      for (std::int64_t i = first; i < first + tile_inputs_; ++i, sums += stride) {
        to[(i % block_channels_ * kernel_height + ky) * kernel_width + i / block_channels_] = *sums;
      }
    }
  }

  ConvShape shape_;
  std::int64_t rows_, pairs_;
  int threads_;
  std::int64_t block_channels_, tile_inputs_;
  std::vector<ColumnBlock> blocks_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge source_, diffs_;
  std::size_t source_pairs_, diff_pairs_, sums_;
};

}  // namespace

std::unique_ptr<Kernel> bind_pairs(const ConvBackwardWeights& op, int threads) {
  const ConvShape& shape = op.shape;
  if (op.type != DType::bf16 || !onednn::has_bf16() || op.rows.count == 0) return nullptr;
  const std::int64_t run = shape.kernel.width * block_channels(shape), outputs = shape.out / shape.groups;
  if (shape.kernel == 1 || shape.dilation != 1 || run < kInputs) return nullptr;
  // Most of the registers should hold sums that are asked for.
  if (padded(run, kInputs) * padded(outputs, kTileColumns) * 3 > run * outputs * 4) return nullptr;
  const OmpThreads scope(threads);
  return std::make_unique<WeightsByPairs>(op, threads);
}

}  // namespace hadal

#else

namespace hadal {

std::unique_ptr<Kernel> bind_pairs(const ConvBackwardWeights&, int) { return nullptr; }

}  // namespace hadal

#endif
