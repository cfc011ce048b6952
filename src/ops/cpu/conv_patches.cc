// Gradients of convolutions as matrix products of patches: for each output pixel, the part of the source that its
// kernel window covers, as a row or a column of a matrix (im2col: Chellapilla, Puri, Simard 2006). A block of them
// stays in the second-level cache.
//
//   diff_weight = diff_destination^T patches,   patches of diff_source = diff_destination weight, added where they
//   overlap
//
// Patches are laid out as the source is, so that they are copied in long runs: a channels_last source gives a row of
// [kernel height, kernel width, channels] for each pixel, a canonical one a column of [channels, kernel height, kernel
// width].

#include <algorithm>
#include <cstring>
#include <optional>

#include "ops/cpu/conv.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

using dnnl::memory;
using onednn::Bridge;
using onednn::Direction;

// Floats of a block of patches.
constexpr std::int64_t kBlockFloats = 65536;

std::int64_t patch_floats(const ConvShape& s) { return s.channels * s.kernel.area(); }

// Output lines (rows of pixels) of a block.
std::int64_t block_lines(const ConvShape& s, std::int64_t lines) {
  return std::clamp<std::int64_t>(kBlockFloats / (patch_floats(s) * s.out_width()), 1, lines);
}

// Where a kernel window that begins at `origin` lies inside a side of `size`: kernel elements [begin, end).
struct Inside {
  std::int64_t begin, end;

  Inside(std::int64_t origin, std::int64_t kernel, std::int64_t size)
      : begin(std::clamp<std::int64_t>(-origin, 0, kernel)),
        end(std::clamp<std::int64_t>(size - origin, begin, kernel)) {}
};

// Calls run(offset in the patch, offset in the image, floats) for the runs of a channels_last patch inside the image.
template <class Run>
[[gnu::always_inline]] inline void for_runs(const ConvShape& s, std::int64_t oy, std::int64_t ox, const Run& run) {
  const std::int64_t top = oy * s.stride.height - s.pad.height, left = ox * s.stride.width - s.pad.width;
  const Inside rows(top, s.kernel.height, s.height), columns(left, s.kernel.width, s.width);
  for (std::int64_t ky = rows.begin; ky < rows.end; ++ky) {
    run((ky * s.kernel.width + columns.begin) * s.channels, ((top + ky) * s.width + left + columns.begin) * s.channels,
        (columns.end - columns.begin) * s.channels);
  }
}

// Lines are counted through all samples: line / out_height is the sample.
void gather_rows(const ConvShape& s, const float* source, std::int64_t first_line, std::int64_t lines, float* patches) {
  const std::int64_t length = patch_floats(s), image = s.channels * s.height * s.width;
  for (std::int64_t line = first_line; line < first_line + lines; ++line) {
    const float* sample = source + line / s.out_height() * image;
    for (std::int64_t ox = 0; ox < s.out_width(); ++ox, patches += length) {
      if (s.pad != 0) std::fill_n(patches, length, 0.0f);
      for_runs(s, line % s.out_height(), ox, [&](std::int64_t to, std::int64_t from, std::int64_t floats) {
        std::memcpy(patches + to, sample + from, static_cast<std::size_t>(floats) * sizeof(float));
      });
    }
  }
}

// patches[i] = row[first + i], 0 outside the row.
[[gnu::always_inline]] inline void copy_row(const float* row, std::int64_t width, std::int64_t first,
                                            std::int64_t count, float* __restrict patches) {
  const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, count), end = std::clamp(width - first, begin, count);
  for (std::int64_t i = 0; i < begin; ++i) patches[i] = 0.0f;
  for (std::int64_t i = begin; i < end; ++i) patches[i] = row[first + i];
  for (std::int64_t i = end; i < count; ++i) patches[i] = 0.0f;
}

// A row of the source as windows more than a pixel apart meet it: kernel column kx of all windows lies in one run.
// Those `stride` apart are together: from[kx % stride][kx / stride + i] = row[kx + i stride - pad], 0 outside the row.
struct SteppedRow {
  std::int64_t stride, pad, pitch;

  explicit SteppedRow(const ConvShape& s)
      : stride(s.stride.width), pad(s.pad.width), pitch(s.out_width() + (s.kernel.width - 1) / stride) {}
  std::int64_t floats() const { return stride * pitch; }
  const float* column(const float* from, std::int64_t kx) const { return from + kx % stride * pitch + kx / stride; }

  template <int kStride>  // 0: any
  [[gnu::always_inline]] void take_inside(const float* row, std::int64_t begin, std::int64_t end,
                                          float* __restrict to) const {
    const std::int64_t step = kStride > 0 ? kStride : stride, next = pitch;
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t p = 0; p < step; ++p) to[p * next + i] = row[i * step + p - pad];
    }
  }

  [[gnu::always_inline]] void take(const float* row, std::int64_t width, float* __restrict to) const {
    const auto take_edge = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t p = 0; p < stride; ++p) {
          const std::int64_t x = i * stride + p - pad;
          to[p * pitch + i] = x >= 0 && x < width ? row[x] : 0.0f;
        }
      }
    };
    const std::int64_t begin = std::min((pad + stride - 1) / stride, pitch);
    const std::int64_t end = std::clamp((width + pad) / stride, begin, pitch);
    take_edge(0, begin);
    if (stride == 2) {
      take_inside<2>(row, begin, end, to);
    } else if (stride == 4) {
      take_inside<4>(row, begin, end, to);
    } else {
      take_inside<0>(row, begin, end, to);
    }
    take_edge(end, pitch);
  }
};

// The same of a canonical source; patches: [patch_floats, pixels]. `stepped`: room for a row.
HADAL_CLONES void gather_columns(const ConvShape& s, const float* source, std::int64_t first_line, std::int64_t lines,
                                 float* __restrict stepped, float* __restrict patches) {
  const std::int64_t width = s.out_width(), height = s.out_height(), plane = s.height * s.width;
  const std::int64_t pixels = lines * width;
  const SteppedRow stepped_row(s);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    for (std::int64_t ky = 0; ky < s.kernel.height; ++ky, patches += s.kernel.width * pixels) {
      const float* image = source + (first_line / height * s.channels + c) * plane;
      std::int64_t oy = first_line % height;
      for (std::int64_t line = 0; line < lines; ++line) {
        const std::int64_t y = oy * s.stride.height - s.pad.height + ky;
        const bool inside = y >= 0 && y < s.height;
        const bool in_steps = s.stride.width > 1;
        const float* row = inside ? image + y * s.width : nullptr;
        if (inside && in_steps) stepped_row.take(row, s.width, stepped);
        for (std::int64_t kx = 0; kx < s.kernel.width; ++kx) {
          float* to = patches + kx * pixels + line * width;
          if (!inside) {
            std::fill_n(to, width, 0.0f);
          } else if (in_steps) {
            std::copy_n(stepped_row.column(stepped, kx), width, to);
          } else {
            copy_row(row, s.width, kx - s.pad.width, width, to);
          }
        }
        if (++oy == height) {
          oy = 0;
          image += s.channels * plane;
        }
      }
    }
  }
}

// Adds patches of output lines of one sample to it, pixel after pixel.
HADAL_CLONES void scatter_rows(const ConvShape& s, const float* __restrict patches, std::int64_t first_line,
                               std::int64_t lines, float* __restrict sample) {
  const std::int64_t length = patch_floats(s), width = s.out_width();
  for (std::int64_t oy = first_line; oy < first_line + lines; ++oy) {
    for (std::int64_t ox = 0; ox < width; ++ox, patches += length) {
      for_runs(s, oy, ox, [&](std::int64_t from, std::int64_t to, std::int64_t floats) {
        for (std::int64_t i = 0; i < floats; ++i) sample[to + i] += patches[from + i];
      });
    }
  }
}

// sums[c] += the sum over the rows in their order.
HADAL_CLONES void add_rows(const float* __restrict values, std::int64_t rows, std::int64_t columns,
                           float* __restrict sums) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; ++c) sums[c] += values[row * columns + c];
  }
}

memory::desc weight_desc(const ConvShape& s, memory::format_tag tag) {
  return onednn::plain({s.out, s.channels, s.kernel.height, s.kernel.width}, tag);
}
memory::desc source_desc(const ConvShape& s, const Rows& rows, Layout layout) {
  return onednn::image({rows.count, s.channels, s.height, s.width}, layout);
}
memory::desc destination_desc(const ConvShape& s, const Rows& rows, Layout layout) {
  return onednn::image({rows.count, s.out, s.out_height(), s.out_width()}, layout);
}

class DataByPatches final : public Kernel {
 public:
  DataByPatches(const ConvBackwardData& op, int threads)
      : shape_(op.shape),
        rows_(op.rows.count),
        threads_(threads),
        lines_(block_lines(op.shape, op.shape.out_height())),
        stream_(onednn::cpu_engine()),
        diff_destination_(destination_desc(op.shape, op.rows, op.destination),
                          destination_desc(op.shape, op.rows, Layout::channels_last), Direction::read, plan_),
        weight_(weight_desc(op.shape, memory::format_tag::oihw), weight_desc(op.shape, memory::format_tag::ohwi),
                Direction::read, plan_),
        diff_source_(source_desc(op.shape, op.rows, op.source), source_desc(op.shape, op.rows, Layout::channels_last),
                     Direction::write, plan_),
        block_bytes_(static_cast<std::size_t>(lines_ * op.shape.out_width() * patch_floats(op.shape)) * sizeof(float)),
        patches_(plan_.reserve(block_bytes_ * static_cast<std::size_t>(threads))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* dy = diff_destination_.place(arguments[0], scratch);
    const float* weight = weight_.place(arguments[1], scratch);
    float* dx = diff_source_.place(arguments[2], scratch);
    diff_destination_.cross(stream_, scratch);
    weight_.cross(stream_, scratch);
    const std::int64_t share = (rows_ + threads_ - 1) / threads_;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        auto* patches = reinterpret_cast<float*>(scratch + patches_ + static_cast<std::size_t>(thread) * block_bytes_);
        for (std::int64_t n = thread * share; n < std::min(rows_, (thread + 1) * share); ++n) {
          run_sample(dy + n * shape_.out * shape_.out_height() * shape_.out_width(), weight,
                     dx + n * shape_.channels * shape_.height * shape_.width, patches);
        }
      }
    });
    diff_source_.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "patches:sgemm"; }

 private:
  void run_sample(const float* dy, const float* weight, float* dx, float* patches) const {
    const std::int64_t width = shape_.out_width(), length = patch_floats(shape_);
    std::fill_n(dx, shape_.channels * shape_.height * shape_.width, 0.0f);
    for (std::int64_t line = 0; line < shape_.out_height(); line += lines_) {
      const std::int64_t lines = std::min(lines_, shape_.out_height() - line);
      onednn::multiply(
          {.m = lines * width, .n = length, .k = shape_.out, .lda = shape_.out, .ldb = length, .ldc = length},
          dy + line * width * shape_.out, weight, patches);
      scatter_rows(shape_, patches, line, lines, dx);
    }
  }

  ConvShape shape_;
  std::int64_t rows_;
  int threads_;
  std::int64_t lines_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge diff_destination_, weight_, diff_source_;
  std::size_t block_bytes_, patches_;
};

// Whether columns of patches are copied in longer runs than rows of them. One channel lies alike in both layouts.
bool goes_by_columns(const ConvBackwardWeights& op) {
  if (op.shape.channels > 1) return op.source == Layout::canonical;
  return op.shape.out_width() >= op.shape.kernel.width;
}

class WeightsByPatches final : public Kernel {
 public:
  WeightsByPatches(const ConvBackwardWeights& op, int threads)
      : shape_(op.shape),
        all_lines_(op.rows.count * op.shape.out_height()),
        threads_(threads),
        lines_(block_lines(op.shape, all_lines_)),
        by_columns_(goes_by_columns(op)),
        stream_(onednn::cpu_engine()),
        diff_destination_(destination_desc(op.shape, op.rows, op.destination),
                          destination_desc(op.shape, op.rows, Layout::channels_last), Direction::read, plan_),
        diff_weight_(weight_desc(op.shape, memory::format_tag::oihw),
                     weight_desc(op.shape, by_columns_ ? memory::format_tag::ihwo : memory::format_tag::ohwi),
                     Direction::write, plan_),
        patches_floats_(lines_ * op.shape.out_width() * patch_floats(op.shape)),
        block_floats_(patches_floats_ + (by_columns_ ? SteppedRow(op.shape).floats() : 0)),
        sums_floats_(op.shape.out * patch_floats(op.shape) + op.shape.out),
        patches_(plan_.reserve(static_cast<std::size_t>(threads * block_floats_) * sizeof(float))),
        sums_(plan_.reserve(static_cast<std::size_t>((threads - 1) * sums_floats_) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = floats_in(arguments, 0);
    const float* dy = diff_destination_.place(arguments[1], scratch);
    float* dw = diff_weight_.place(arguments[2], scratch);
    float* db = floats_out(arguments, 3);
    diff_destination_.cross(stream_, scratch);
    auto* patches = reinterpret_cast<float*>(scratch + patches_);
    auto* sums = reinterpret_cast<float*>(scratch + sums_);  // of the threads after the first
    const std::int64_t share = (all_lines_ + threads_ - 1) / threads_, weights = sums_floats_ - shape_.out;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        float* own = sums + (thread - 1) * sums_floats_;
        sum_lines(x, dy, thread * share, std::min(all_lines_, (thread + 1) * share), patches + thread * block_floats_,
                  thread == 0 ? dw : own, thread == 0 ? db : own + weights);
      }
    });
    for (int thread = 1; thread < threads_; ++thread) {
      add_rows(sums + (thread - 1) * sums_floats_, 1, weights, dw);
      add_rows(sums + (thread - 1) * sums_floats_ + weights, 1, shape_.out, db);
    }
    diff_weight_.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "patches:sgemm"; }

 private:
  // The gradients of output lines [begin, end), block after block.
  void sum_lines(const float* x, const float* dy, std::int64_t begin, std::int64_t end, float* patches, float* dw,
                 float* db) const {
    const std::int64_t width = shape_.out_width(), length = patch_floats(shape_), out = shape_.out;
    std::fill_n(dw, out * length, 0.0f);
    std::fill_n(db, out, 0.0f);
    for (std::int64_t line = begin; line < end; line += lines_) {
      const std::int64_t lines = std::min(lines_, end - line), pixels = lines * width;
      const float* block = dy + line * width * out;
      if (by_columns_) {
        gather_columns(shape_, x, line, lines, patches + patches_floats_, patches);
        onednn::multiply({.m = length, .n = out, .k = pixels, .lda = pixels, .ldb = out, .ldc = out, .beta = 1},
                         patches, block, dw);
      } else {
        gather_rows(shape_, x, line, lines, patches);
        onednn::multiply({.transpose_a = true,
                          .m = out,
                          .n = length,
                          .k = pixels,
                          .lda = out,
                          .ldb = length,
                          .ldc = length,
                          .beta = 1},
                         block, patches, dw);
      }
      add_rows(block, pixels, out, db);
    }
  }

  ConvShape shape_;
  std::int64_t all_lines_;
  int threads_;
  std::int64_t lines_;
  bool by_columns_;
  ScratchPlan plan_;
  dnnl::stream stream_;
  Bridge diff_destination_, diff_weight_;
  std::int64_t patches_floats_, block_floats_, sums_floats_;
  std::size_t patches_, sums_;
};

}  // namespace

bool prefers_patches(const ConvShape& shape) {
  const std::int64_t v = onednn::vector_floats();
  const auto padded = [v](std::int64_t channels) { return (channels + v - 1) / v * v; };
  return shape.groups == 1 && shape.dilation == 1 &&
         padded(shape.channels) * padded(shape.out) * 4 > shape.channels * shape.out * 5;
}

std::unique_ptr<Kernel> bind_patches(const ConvBackwardData& op, int threads) {
  const OmpThreads scope(threads);
  return std::make_unique<DataByPatches>(op, threads);
}

std::unique_ptr<Kernel> bind_patches(const ConvBackwardWeights& op, int threads) {
  const OmpThreads scope(threads);
  return std::make_unique<WeightsByPatches>(op, threads);
}

}  // namespace hadal
