// Local response normalisation across channels (ops/reference/lrn.cc has the formulas), a pixel's channels at a time.
// The scales are computed again in backward: that is cheaper than to keep them. Canonical images are reordered through
// scratch. Pixels are computed each by itself, in one order, so units need no test.

#include <algorithm>
#include <type_traits>

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

// The exponent that AlexNet made common, for results in T.
template <class T>
struct ThreeQuarters {
  [[gnu::always_inline]] Powers operator()(float s) const {
    constexpr int kSteps = std::is_same_v<T, float> ? 3 : 2;
    const float r = inverse_fourth_root<kSteps>(s), square = r * r;
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

// Numbers of the pixels that each loop works on before the next one reads what it wrote: stores of one pixel would
// still be on their way to the cache, and a load that spans two of them waits. Few enough that all buffers stay in the
// first-level cache.
constexpr std::int64_t kBlockFloats = 512;

std::int64_t block_pixels(const LrnShape& s) { return std::clamp<std::int64_t>(kBlockFloats / s.channels, 1, 32); }

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

// The sums of windows of kSize numbers, each when it is asked for; of any size where kSize is 0: computed before.
template <int kSize>
class WindowSums {
 public:
  [[gnu::always_inline]] WindowSums(const float* values, std::int64_t size, std::int64_t channels, float* room)
      : from_(kSize == 0 ? room : values) {
    if constexpr (kSize == 0) sum_windows(values, size, channels, room);
  }
  [[gnu::always_inline]] float operator()(std::int64_t c) const {
    float sum = from_[c];
    for (int i = 1; i < kSize; ++i) sum += from_[c + i];
    return sum;
  }

 private:
  const float* __restrict from_;
};

[[gnu::always_inline]] inline void write_squares(const float* __restrict x, std::int64_t channels,
                                                 float* __restrict squares) {
  for (std::int64_t c = 0; c < channels; ++c) squares[c] = x[c] * x[c];
}

// Numbers of a block of pixels. `padded` and `ratios`: padded_floats() each, zeros but for the channels, which begin at
// size / 2 and at (size - 1) / 2; the others: a number for each channel. `x`, `dy` and `result` are for bf16 numbers.
struct Buffers {
  float *padded, *ratios, *sums, *own, *x, *dy, *result;
};

template <int kSize, class Power>
[[gnu::always_inline]] inline void forward_block(const LrnShape& shape, const Power& power, std::int64_t pixels,
                                                 const float* __restrict x, const Buffers& b, float* __restrict y) {
  const LrnShape s = shape;  // a copy: no store can change it
  const std::int64_t channels = s.channels, size = s.options.size, padded = padded_floats(s);
  const float k = s.options.k, factor = s.options.alpha / static_cast<float>(size);
  float* room = b.sums;
  for (std::int64_t p = 0; p < pixels; ++p) write_squares(x + p * channels, channels, b.padded + p * padded + size / 2);
  const float* squares = b.padded;
  for (std::int64_t p = 0; p < pixels; ++p, x += channels, y += channels, squares += padded) {
    const WindowSums<kSize> sums(squares, size, channels, room);
    for (std::int64_t c = 0; c < channels; ++c) y[c] = x[c] * power(k + factor * sums(c)).scaled;
  }
}

// dx may be dy.
template <int kSize, class Power>
[[gnu::always_inline]] inline void backward_block(const LrnShape& shape, const Power& power, std::int64_t pixels,
                                                  const float* __restrict x, const float* dy, const Buffers& b,
                                                  float* dx) {
  const LrnShape s = shape;
  const std::int64_t channels = s.channels, size = s.options.size, padded = padded_floats(s);
  const float k = s.options.k, factor = s.options.alpha / static_cast<float>(size);
  const float back = 2 * factor * s.options.beta;
  float* room = b.sums;
  for (std::int64_t p = 0; p < pixels; ++p) write_squares(x + p * channels, channels, b.padded + p * padded + size / 2);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const WindowSums<kSize> sums(b.padded + p * padded, size, channels, room);
    const float* __restrict from = x + p * channels, * __restrict diffs = dy + p * channels;
    float* __restrict own = b.own + p * channels, * __restrict ratio = b.ratios + p * padded + (size - 1) / 2;
    for (std::int64_t c = 0; c < channels; ++c) {
      const Powers powers = power(k + factor * sums(c));
      own[c] = diffs[c] * powers.scaled;
      ratio[c] = diffs[c] * from[c] * powers.scaled_again;
    }
  }
  for (std::int64_t p = 0; p < pixels; ++p) {
    const WindowSums<kSize> sums(b.ratios + p * padded, size, channels, room);
    const float* __restrict from = x + p * channels, * __restrict own = b.own + p * channels;
    float* __restrict to = dx + p * channels;
    for (std::int64_t c = 0; c < channels; ++c) to[c] = own[c] - back * from[c] * sums(c);
  }
}

// AlexNet's window is compiled by itself.
template <class Power>
[[gnu::always_inline]] inline void forward_block(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                 const float* x, const Buffers& b, float* y) {
  if (s.options.size == 5) return forward_block<5>(s, power, pixels, x, b, y);
  forward_block<0>(s, power, pixels, x, b, y);
}
template <class Power>
[[gnu::always_inline]] inline void backward_block(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                  const float* x, const float* dy, const Buffers& b, float* dx) {
  if (s.options.size == 5) return backward_block<5>(s, power, pixels, x, dy, b, dx);
  backward_block<0>(s, power, pixels, x, dy, b, dx);
}

template <class Power>
[[gnu::always_inline]] inline void forward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                  const float* x, const Buffers& b, float* y) {
  const std::int64_t most = block_pixels(s);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t at = first * s.channels;
    forward_block(s, power, std::min(most, pixels - first), x + at, b, y + at);
  }
}

template <class Power>
[[gnu::always_inline]] inline void forward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                  const Bf16* x, const Buffers& b, Bf16* y) {
  const std::int64_t most = block_pixels(s);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t at = first * s.channels, count = std::min(most, pixels - first);
    widen(x + at, count * s.channels, b.x);
    forward_block(s, power, count, b.x, b, b.result);
    narrow(b.result, count * s.channels, y + at);
  }
}

template <class Power>
[[gnu::always_inline]] inline void backward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                   const float* x, const float* dy, const Buffers& b, float* dx) {
  const std::int64_t most = block_pixels(s);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t at = first * s.channels;
    backward_block(s, power, std::min(most, pixels - first), x + at, dy + at, b, dx + at);
  }
}

template <class Power>
[[gnu::always_inline]] inline void backward_pixels(const LrnShape& s, const Power& power, std::int64_t pixels,
                                                   const Bf16* x, const Bf16* dy, const Buffers& b, Bf16* dx) {
  const std::int64_t most = block_pixels(s);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t at = first * s.channels, count = std::min(most, pixels - first);
    widen(x + at, count * s.channels, b.x);
    widen(dy + at, count * s.channels, b.dy);
    backward_block(s, power, count, b.x, b.dy, b, b.result);
    narrow(b.result, count * s.channels, dx + at);
  }
}

HADAL_CLONES void forward_three_quarters(const LrnShape& s, std::int64_t pixels, const float* x, const Buffers& b,
                                         float* y) {
  forward_pixels(s, ThreeQuarters<float>{}, pixels, x, b, y);
}
HADAL_CLONES void forward_any(const LrnShape& s, std::int64_t pixels, const float* x, const Buffers& b, float* y) {
  forward_pixels(s, AnyExponent{s.options.beta}, pixels, x, b, y);
}
HADAL_CLONES void backward_three_quarters(const LrnShape& s, std::int64_t pixels, const float* x, const float* dy,
                                          const Buffers& b, float* dx) {
  backward_pixels(s, ThreeQuarters<float>{}, pixels, x, dy, b, dx);
}
HADAL_CLONES void backward_any(const LrnShape& s, std::int64_t pixels, const float* x, const float* dy,
                               const Buffers& b, float* dx) {
  backward_pixels(s, AnyExponent{s.options.beta}, pixels, x, dy, b, dx);
}

HADAL_CLONES void forward_three_quarters(const LrnShape& s, std::int64_t pixels, const Bf16* x, const Buffers& b,
                                         Bf16* y) {
  forward_pixels(s, ThreeQuarters<Bf16>{}, pixels, x, b, y);
}
HADAL_CLONES void forward_any(const LrnShape& s, std::int64_t pixels, const Bf16* x, const Buffers& b, Bf16* y) {
  forward_pixels(s, AnyExponent{s.options.beta}, pixels, x, b, y);
}
HADAL_CLONES void backward_three_quarters(const LrnShape& s, std::int64_t pixels, const Bf16* x, const Bf16* dy,
                                          const Buffers& b, Bf16* dx) {
  backward_pixels(s, ThreeQuarters<Bf16>{}, pixels, x, dy, b, dx);
}
HADAL_CLONES void backward_any(const LrnShape& s, std::int64_t pixels, const Bf16* x, const Bf16* dy, const Buffers& b,
                               Bf16* dx) {
  backward_pixels(s, AnyExponent{s.options.beta}, pixels, x, dy, b, dx);
}

bool three_quarters(const LrnShape& s) { return s.options.beta == 0.75f; }

// Images in channels_last, and buffers for each thread.
class LrnKernel : public LoopKernel {
 public:
  LrnKernel(const LrnShape& shape, const Rows& rows, Layout layout, DType type, int threads)
      : shape_(shape),
        rows_(rows.count),
        layout_(layout),
        type_(type),
        threads_(threads),
        stream_(onednn::cpu_engine()) {}

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 protected:
  onednn::Bridge image(onednn::Direction direction) {
    const dnnl::memory::dims dims{rows_, shape_.channels, 1, shape_.pixels};
    return {onednn::image(dims, layout_, type_), onednn::image(dims, Layout::channels_last, type_), direction, plan_};
  }

  void reserve_buffers() {
    buffers_ = plan_.reserve(static_cast<std::size_t>(threads_ * buffer_floats()) * sizeof(float));
  }

  // body(first float of the pixels, pixels, buffers)
  template <class Body>
  void for_pixels(std::byte* scratch, const Body& body) const {
    const std::int64_t pixels = rows_ * shape_.pixels, padded = block_pixels(shape_) * padded_floats(shape_);
    const std::int64_t share = (pixels + threads_ - 1) / threads_;
    auto* all = reinterpret_cast<float*>(scratch + buffers_);
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past) {
      for (; thread < past; ++thread) {
        float* first = all + thread * buffer_floats();
        std::fill_n(first, 2 * padded, 0.0f);
        const Buffers buffers{first,
                              first + padded,
                              first + 2 * padded,
                              first + 3 * padded,
                              first + 4 * padded,
                              first + 5 * padded,
                              first + 6 * padded};
        const std::int64_t begin = std::min(pixels, thread * share), end = std::min(pixels, begin + share);
        body(begin * shape_.channels, end - begin, buffers);
      }
    });
  }

  LrnShape shape_;
  std::int64_t rows_;
  Layout layout_;
  DType type_;
  int threads_;
  ScratchPlan plan_;
  dnnl::stream stream_;

 private:
  std::int64_t buffer_floats() const { return 7 * block_pixels(shape_) * padded_floats(shape_); }
  std::size_t buffers_ = 0;
};

template <class T>
class LrnForwardKernel final : public LrnKernel {
 public:
  LrnForwardKernel(const LrnForward& op, int threads)
      : LrnKernel(op.shape, op.rows, op.layout, op.type, threads),
        source_(image(onednn::Direction::read)),
        destination_(image(onednn::Direction::write)) {
    reserve_buffers();
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const T* x = source_.place<T>(arguments[0], scratch);
    T* y = destination_.place<T>(arguments[1], scratch);
    source_.cross(stream_, scratch);
    using Forward = void (*)(const LrnShape&, std::int64_t, const T*, const Buffers&, T*);
    const Forward forward = three_quarters(shape_) ? Forward{forward_three_quarters} : Forward{forward_any};
    for_pixels(scratch, [&](std::int64_t first, std::int64_t pixels, const Buffers& buffers) {
      forward(shape_, pixels, x + first, buffers, y + first);
    });
    destination_.cross(stream_, scratch);
  }

 private:
  onednn::Bridge source_, destination_;
};

template <class T>
class LrnBackwardKernel final : public LrnKernel {
 public:
  LrnBackwardKernel(const LrnBackward& op, int threads)
      : LrnKernel(op.shape, op.rows, op.layout, op.type, threads),
        in_place_(op.in_place),
        source_(image(onednn::Direction::read)),
        diff_destination_(image(onednn::Direction::read)),
        diff_source_(image(onednn::Direction::write)) {
    reserve_buffers();
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const T* x = source_.place<T>(arguments[0], scratch);
    const T* dy = diff_destination_.place<T>(arguments[1], scratch);
    T* dx = diff_source_.place<T>(arguments[in_place_ ? 1 : 2], scratch);
    source_.cross(stream_, scratch);
    diff_destination_.cross(stream_, scratch);
    using Backward = void (*)(const LrnShape&, std::int64_t, const T*, const T*, const Buffers&, T*);
    const Backward backward = three_quarters(shape_) ? Backward{backward_three_quarters} : Backward{backward_any};
    for_pixels(scratch, [&](std::int64_t first, std::int64_t pixels, const Buffers& buffers) {
      backward(shape_, pixels, x + first, dy + first, buffers, dx + first);
    });
    diff_source_.cross(stream_, scratch);
  }

 private:
  bool in_place_;
  onednn::Bridge source_, diff_destination_, diff_source_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const LrnForward& op, BindContext& context) {
  return bind_typed<LrnForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const LrnBackward& op, BindContext& context) {
  return bind_typed<LrnBackwardKernel>(op, context.threads);
}

}  // namespace hadal
