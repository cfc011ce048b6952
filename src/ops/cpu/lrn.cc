// Local response normalisation across channels (ops/reference/lrn.cc has the formulas), a pixel's channels at a time.
// The scales are computed again in backward: that is cheaper than to keep them. Canonical images are reordered through
// scratch. Pixels are computed each by itself, in one order, so units need no test.

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// s^-beta, and s^(-beta - 1).
struct Powers {
  float scaled, scaled_again;
};

// The exponent that AlexNet made common.
struct ThreeQuarters {
  [[gnu::always_inline]] Powers operator()(float s) const {
    const float r = inverse_fourth_root(s), square = r * r;
    return {square * r, square * r * (square * square)};
  }
};

struct AnyExponent {
  float beta;
  [[gnu::always_inline]] Powers operator()(float s) const {
    const float scaled = fast_exp(-beta * fast_log(s));
    return {scaled, scaled / s};
  }
};

// Room for a pixel's numbers with the zeros that windows reach past the channels on either side.
std::int64_t padded_floats(const LrnShape& s) { return s.channels + s.options.size; }

// sums[c] = values[c] + ... + values[c + size - 1]
[[gnu::always_inline]] inline void sum_windows(const float* __restrict values, std::int64_t size, std::int64_t channels,
                                               float* __restrict sums) {
  for (std::int64_t c = 0; c < channels; ++c) sums[c] = values[c];
  for (std::int64_t i = 1; i < size; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += values[c + i];
  }
}

// `padded`: zeros but for the channels, which begin at size / 2; `sums`: a number for each channel.
template <class Power>
[[gnu::always_inline]] inline void forward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                  const float* __restrict x, float* __restrict padded,
                                                  float* __restrict sums, float* __restrict y) {
  const std::int64_t channels = s.channels, size = s.options.size;
  const float k = s.options.k, factor = s.options.alpha / static_cast<float>(size);
  float* squares = padded + size / 2;
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel, x += channels, y += channels) {
    for (std::int64_t c = 0; c < channels; ++c) squares[c] = x[c] * x[c];
    sum_windows(padded, size, channels, sums);
    for (std::int64_t c = 0; c < channels; ++c) y[c] = x[c] * power(k + factor * sums[c]).scaled;
  }
}

// `ratios`: as `padded`, but its channels begin at (size - 1) / 2; `own`: a number for each channel.
template <class Power>
[[gnu::always_inline]] inline void backward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                   const float* __restrict x, const float* __restrict dy,
                                                   float* __restrict padded, float* __restrict ratios,
                                                   float* __restrict sums, float* __restrict own,
                                                   float* __restrict dx) {
  const std::int64_t channels = s.channels, size = s.options.size;
  const float k = s.options.k, factor = s.options.alpha / static_cast<float>(size);
  const float back = 2 * factor * s.options.beta;
  float* squares = padded + size / 2;
  float* ratio = ratios + (size - 1) / 2;
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel, x += channels, dy += channels, dx += channels) {
    for (std::int64_t c = 0; c < channels; ++c) squares[c] = x[c] * x[c];
    sum_windows(padded, size, channels, sums);
    for (std::int64_t c = 0; c < channels; ++c) {
      const Powers powers = power(k + factor * sums[c]);
      own[c] = dy[c] * powers.scaled;
      ratio[c] = dy[c] * x[c] * powers.scaled_again;
    }
    sum_windows(ratios, size, channels, sums);
    for (std::int64_t c = 0; c < channels; ++c) dx[c] = own[c] - back * x[c] * sums[c];
  }
}

struct Buffers {
  float *padded, *ratios, *sums, *own;
};

HADAL_CLONES void forward_three_quarters(const LrnShape& s, std::int64_t pixels, const float* x, const Buffers& b,
                                         float* y) {
  forward_pixels(s, ThreeQuarters{}, pixels, x, b.padded, b.sums, y);
}

HADAL_CLONES void forward_any(const LrnShape& s, std::int64_t pixels, const float* x, const Buffers& b, float* y) {
  forward_pixels(s, AnyExponent{s.options.beta}, pixels, x, b.padded, b.sums, y);
}

HADAL_CLONES void backward_three_quarters(const LrnShape& s, std::int64_t pixels, const float* x, const float* dy,
                                          const Buffers& b, float* dx) {
  backward_pixels(s, ThreeQuarters{}, pixels, x, dy, b.padded, b.ratios, b.sums, b.own, dx);
}

HADAL_CLONES void backward_any(const LrnShape& s, std::int64_t pixels, const float* x, const float* dy,
                               const Buffers& b, float* dx) {
  backward_pixels(s, AnyExponent{s.options.beta}, pixels, x, dy, b.padded, b.ratios, b.sums, b.own, dx);
}

bool three_quarters(const LrnShape& s) { return s.options.beta == 0.75f; }

// Images in channels_last, and buffers for each thread.
class LrnKernel : public LoopKernel {
 public:
  LrnKernel(const LrnShape& shape, const Rows& rows, Layout layout, int threads)
      : shape_(shape), rows_(rows.count), layout_(layout), threads_(threads), stream_(onednn::cpu_engine()) {}

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 protected:
  onednn::Bridge image(onednn::Direction direction) {
    const dnnl::memory::dims dims{rows_, shape_.channels, 1, shape_.pixels};
    return {onednn::image(dims, layout_), onednn::image(dims, Layout::channels_last), direction, plan_};
  }

  void reserve_buffers() {
    buffers_ = plan_.reserve(static_cast<std::size_t>(threads_ * buffer_floats()) * sizeof(float));
  }

  // body(first float of the pixels, pixels, buffers)
  template <class Body>
  void for_pixels(std::byte* scratch, const Body& body) const {
    const std::int64_t pixels = rows_ * shape_.pixels, padded = padded_floats(shape_);
    const std::int64_t share = (pixels + threads_ - 1) / threads_;
    auto* all = reinterpret_cast<float*>(scratch + buffers_);
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past) {
      for (; thread < past; ++thread) {
        float* first = all + thread * buffer_floats();
        std::fill_n(first, 2 * padded, 0.0f);
        const Buffers buffers{first, first + padded, first + 2 * padded, first + 3 * padded};
        const std::int64_t begin = std::min(pixels, thread * share), end = std::min(pixels, begin + share);
        body(begin * shape_.channels, end - begin, buffers);
      }
    });
  }

  LrnShape shape_;
  std::int64_t rows_;
  Layout layout_;
  int threads_;
  ScratchPlan plan_;
  dnnl::stream stream_;

 private:
  std::int64_t buffer_floats() const { return 4 * padded_floats(shape_); }
  std::size_t buffers_ = 0;
};

class LrnForwardKernel final : public LrnKernel {
 public:
  LrnForwardKernel(const LrnForward& op, int threads)
      : LrnKernel(op.shape, op.rows, op.layout, threads),
        source_(image(onednn::Direction::read)),
        destination_(image(onednn::Direction::write)) {
    reserve_buffers();
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = source_.place(arguments[0], scratch);
    float* y = destination_.place(arguments[1], scratch);
    source_.cross(stream_, scratch);
    const auto forward = three_quarters(shape_) ? forward_three_quarters : forward_any;
    for_pixels(scratch, [&](std::int64_t first, std::int64_t pixels, const Buffers& buffers) {
      forward(shape_, pixels, x + first, buffers, y + first);
    });
    destination_.cross(stream_, scratch);
  }

 private:
  onednn::Bridge source_, destination_;
};

class LrnBackwardKernel final : public LrnKernel {
 public:
  LrnBackwardKernel(const LrnBackward& op, int threads)
      : LrnKernel(op.shape, op.rows, op.layout, threads),
        source_(image(onednn::Direction::read)),
        diff_destination_(image(onednn::Direction::read)),
        diff_source_(image(onednn::Direction::write)) {
    reserve_buffers();
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = source_.place(arguments[0], scratch);
    const float* dy = diff_destination_.place(arguments[1], scratch);
    float* dx = diff_source_.place(arguments[2], scratch);
    source_.cross(stream_, scratch);
    diff_destination_.cross(stream_, scratch);
    const auto backward = three_quarters(shape_) ? backward_three_quarters : backward_any;
    for_pixels(scratch, [&](std::int64_t first, std::int64_t pixels, const Buffers& buffers) {
      backward(shape_, pixels, x + first, dy + first, buffers, dx + first);
    });
    diff_source_.cross(stream_, scratch);
  }

 private:
  onednn::Bridge source_, diff_destination_, diff_source_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const LrnForward& op, BindContext& context) {
  return std::make_unique<LrnForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const LrnBackward& op, BindContext& context) {
  return std::make_unique<LrnBackwardKernel>(op, context.threads);
}

}  // namespace hadal
