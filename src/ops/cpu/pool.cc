// Pooling of channels_last images: the maximum, or the mean, of the part of each window that lies inside the image, for
// all channels of a pixel at once. Canonical images are reordered through scratch.
//
// A window's maximum is its first largest element in row-major order, or its last NaN where it has one (as PyTorch).
// The workspace holds, for each output element in the destination's channels_last order, its place in the window: row *
// kernel.width + column. Samples are computed each by itself, in one order, so units need no test.

#include <algorithm>
#include <cstring>
#include <utility>

#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// The part of a window inside the image, rows [top, bottom) and columns [left, right). Never empty.
struct Window {
  std::int64_t origin_y, origin_x, top, bottom, left, right;

  Window(const PoolShape& s, std::int64_t i, std::int64_t j)
      : origin_y(i * s.stride.height - s.pad.height),
        origin_x(j * s.stride.width - s.pad.width),
        top(std::max<std::int64_t>(origin_y, 0)),
        bottom(std::min(origin_y + s.kernel.height, s.height)),
        left(std::max<std::int64_t>(origin_x, 0)),
        right(std::min(origin_x + s.kernel.width, s.width)) {}

  std::int64_t elements() const { return (bottom - top) * (right - left); }
  // The window seen from the image's row `first`.
  Window from_row(std::int64_t first) const {
    Window seen = *this;
    seen.origin_y -= first, seen.top -= first, seen.bottom -= first;
    return seen;
  }
  std::int32_t place(const PoolShape& s, std::int64_t y, std::int64_t x) const {
    return static_cast<std::int32_t>((y - origin_y) * s.kernel.width + (x - origin_x));
  }
};

// Calls visit(offset of a pixel in the image, its place in the window) in row-major order. kKernel: the window's size
// where it is known to be whole, so that the loops have no ends to test; else 0.
template <int kKernel, class Visit>
[[gnu::always_inline]] inline void for_pixels(const PoolShape& s, const Window& window, const Visit& visit) {
  if constexpr (kKernel > 0) {
    const std::int64_t first = (window.top * s.width + window.left) * s.channels;
    for (int y = 0; y < kKernel; ++y) {
      for (int x = 0; x < kKernel; ++x) visit(first + (y * s.width + x) * s.channels, y * kKernel + x);
    }
  } else {
    for (std::int64_t y = window.top; y < window.bottom; ++y) {
      for (std::int64_t x = window.left; x < window.right; ++x) {
        visit((y * s.width + x) * s.channels, window.place(s, y, x));
      }
    }
  }
}

// As many numbers as `floats` holds.
template <class Floats>
[[gnu::always_inline]] inline void load(const float* from, Floats& floats) {
  std::memcpy(&floats, from, sizeof(floats));
}
template <class Floats>
[[gnu::always_inline]] inline void store(const Floats& floats, float* to) {
  std::memcpy(to, &floats, sizeof(floats));
}
[[gnu::always_inline]] inline void load(const Bf16* from, float& number) { number = static_cast<float>(*from); }
[[gnu::always_inline]] inline void load(const Bf16* from, Floats4& floats) {
  Halves4 halves;
  std::memcpy(&halves, from, sizeof(halves));
  const auto bits = __builtin_convertvector(halves, UnsignedInts4) << 16;
  std::memcpy(&floats, &bits, sizeof(floats));
}
// All channels of a window, some at once.
template <class Floats, class Ints, int kKernel>
[[gnu::always_inline]] inline void max_of_window(const PoolShape& s, const Window& window, const float* source,
                                                 float* destination, std::int32_t* where) {
  Floats best;
  Ints best_place = Ints{} + window.place(s, window.top, window.left);
  load(source + (window.top * s.width + window.left) * s.channels, best);
  for_pixels<kKernel>(s, window, [&](std::int64_t offset, std::int32_t place) {
    Floats value;
    load(source + offset, value);
    const auto larger = (value > best) | (value != value);
    best = larger ? value : best;
    best_place = larger ? Ints{} + place : best_place;
  });
  store(best, destination);
  if (where != nullptr) std::memcpy(where, &best_place, sizeof(best_place));
}

template <class Floats, class Ints, int kKernel, class T>
[[gnu::always_inline]] inline void add_to_maximum(const PoolShape& s, const Window& window, const T* diff_destination,
                                                  const std::int32_t* where, float* diff_source) {
  Floats diff;
  Ints best_place;
  load(diff_destination, diff);
  std::memcpy(&best_place, where, sizeof(best_place));
  for_pixels<kKernel>(s, window, [&](std::int64_t offset, std::int32_t place) {
    Floats sum;
    std::memcpy(&sum, diff_source + offset, sizeof(sum));
    sum += best_place == Ints{} + place ? diff : Floats{};
    std::memcpy(diff_source + offset, &sum, sizeof(sum));
  });
}

// Channels from which a loop over them is faster than a few at a time.
constexpr std::int64_t kWide = 48;

// The same for many channels of a whole window, whose pixels (row-major, kPixels places) the compiler
// unrolls.
template <int kKernel, int... kPixels>
[[gnu::always_inline]] inline void max_of_wide_window(const PoolShape& s, const Window& window, const float* source,
                                                      float* __restrict destination, std::int32_t* __restrict where,
                                                      std::integer_sequence<int, kPixels...>) {
  const float* first = source + (window.top * s.width + window.left) * s.channels;
  const std::int64_t right = s.channels, down = s.width * s.channels;
  const auto maximum = [&](std::int64_t c, std::int32_t& place) {
    float best = first[c];
    place = 0;
    const auto compare = [&](std::int32_t pixel, float value) {
      const bool larger = (value > best) | (value != value);
      best = larger ? value : best;
      place = larger ? pixel : place;
    };
    (compare(kPixels, first[kPixels / kKernel * down + kPixels % kKernel * right + c]), ...);
    return best;
  };
  if (where == nullptr) {
    std::int32_t unused;
    for (std::int64_t c = 0; c < s.channels; ++c) destination[c] = maximum(c, unused);
    return;
  }
  for (std::int64_t c = 0; c < s.channels; ++c) destination[c] = maximum(c, where[c]);
}

template <int kKernel>
[[gnu::always_inline]] inline void max_of_channels(const PoolShape& s, const Window& window, const float* source,
                                                   float* destination, std::int32_t* where) {
  if constexpr (kKernel > 0) {
    if (s.channels >= kWide) {
      max_of_wide_window<kKernel>(s, window, source, destination, where,
                                  std::make_integer_sequence<int, kKernel * kKernel>());
      return;
    }
  }
  std::int64_t c = 0;
  const auto at = [&](std::int64_t channel) { return where == nullptr ? nullptr : where + channel; };
  for (; c + 4 <= s.channels; c += 4) {
    max_of_window<Floats4, Ints4, kKernel>(s, window, source + c, destination + c, at(c));
  }
  for (; c < s.channels; ++c) {
    max_of_window<float, std::int32_t, kKernel>(s, window, source + c, destination + c, at(c));
  }
}

template <int kKernel, class T>
[[gnu::always_inline]] inline void add_to_maxima(const PoolShape& s, const Window& window, const T* diff,
                                                 const std::int32_t* where, float* diff_source) {
  std::int64_t c = 0;
  for (; c + 4 <= s.channels; c += 4) {
    add_to_maximum<Floats4, Ints4, kKernel>(s, window, diff + c, where + c, diff_source + c);
  }
  for (; c < s.channels; ++c) {
    add_to_maximum<float, std::int32_t, kKernel>(s, window, diff + c, where + c, diff_source + c);
  }
}

// A row of windows; `source` begins at the image's row `first`, and `where` may be null.
[[gnu::always_inline]] inline void max_of_row(const PoolShape& shape, std::int64_t i, std::int64_t first,
                                              const float* source, float* destination, std::int32_t* where) {
  const PoolShape s = shape;  // a copy: no store can change it
  for (std::int64_t j = 0; j < s.out_width; ++j, destination += s.channels) {
    const Window window = Window(s, i, j).from_row(first);
    if (s.kernel == 2 && window.elements() == 4) {
      max_of_channels<2>(s, window, source, destination, where);
    } else if (s.kernel == 3 && window.elements() == 9) {
      max_of_channels<3>(s, window, source, destination, where);
    } else {
      max_of_channels<0>(s, window, source, destination, where);
    }
    if (where != nullptr) where += s.channels;
  }
}

// One sample each.
template <class T>
[[gnu::always_inline]] inline void max_backward_sample(const PoolShape& shape, const T* diff_destination,
                                                       const std::int32_t* where, float* diff_source) {
  const PoolShape s = shape;
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j, diff_destination += s.channels, where += s.channels) {
      const Window window(s, i, j);
      if (s.kernel == 2 && window.elements() == 4) {
        add_to_maxima<2>(s, window, diff_destination, where, diff_source);
      } else if (s.kernel == 3 && window.elements() == 9) {
        add_to_maxima<3>(s, window, diff_destination, where, diff_source);
      } else {
        add_to_maxima<0>(s, window, diff_destination, where, diff_source);
      }
    }
  }
}

// `where` may be null.
HADAL_CLONES void max_forward(const PoolShape& s, const float* source, float* destination, std::int32_t* where,
                              float*) {
  const std::int64_t row = s.out_width * s.channels;
  for (std::int64_t i = 0; i < s.out_height; ++i, destination += row) {
    max_of_row(s, i, 0, source, destination, where);
    if (where != nullptr) where += row;
  }
}
// `rows`: room for a row of windows and the rows of the image that it reaches, in fp32.
HADAL_CLONES void max_forward(const PoolShape& s, const Bf16* source, Bf16* destination, std::int32_t* where,
                              float* rows) {
  const std::int64_t source_row = s.width * s.channels, row = s.out_width * s.channels;
  float* results = rows + s.kernel.height * source_row;
  for (std::int64_t i = 0; i < s.out_height; ++i, destination += row) {
    const Window window(s, i, 0);
    widen(source + window.top * source_row, (window.bottom - window.top) * source_row, rows);
    max_of_row(s, i, window.top, rows, results, where);
    narrow(results, row, destination);
    if (where != nullptr) where += row;
  }
}

HADAL_CLONES void max_backward(const PoolShape& s, const float* diff_destination, const std::int32_t* where, float*,
                               float* diff_source) {
  std::fill_n(diff_source, s.channels * s.height * s.width, 0.0f);
  max_backward_sample(s, diff_destination, where, diff_source);
}
// `sums`: room for the sample in fp32, in which is added up what overlapping windows give.
HADAL_CLONES void max_backward(const PoolShape& s, const Bf16* diff_destination, const std::int32_t* where,
                               float* __restrict sums, Bf16* __restrict diff_source) {
  const std::int64_t elements = s.channels * s.height * s.width;
  std::fill_n(sums, elements, 0.0f);
  max_backward_sample(s, diff_destination, where, sums);
  narrow(sums, elements, diff_source);
}

HADAL_CLONES void average_forward(const PoolShape& s, const float* __restrict source, float* __restrict destination) {
  const std::int64_t channels = s.channels;
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j, destination += channels) {
      const Window window(s, i, j);
      std::fill_n(destination, channels, 0.0f);
      for (std::int64_t y = window.top; y < window.bottom; ++y) {
        for (std::int64_t x = window.left; x < window.right; ++x) {
          const float* value = source + (y * s.width + x) * channels;
          for (std::int64_t c = 0; c < channels; ++c) destination[c] += value[c];
        }
      }
      const auto elements = static_cast<float>(window.elements());
      for (std::int64_t c = 0; c < channels; ++c) destination[c] /= elements;
    }
  }
}

HADAL_CLONES void average_backward(const PoolShape& s, const float* __restrict diff_destination,
                                   float* __restrict diff_source) {
  const std::int64_t channels = s.channels;
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j, diff_destination += channels) {
      const Window window(s, i, j);
      const auto elements = static_cast<float>(window.elements());
      for (std::int64_t y = window.top; y < window.bottom; ++y) {
        for (std::int64_t x = window.left; x < window.right; ++x) {
          float* diff = diff_source + (y * s.width + x) * channels;
          for (std::int64_t c = 0; c < channels; ++c) diff[c] += diff_destination[c] / elements;
        }
      }
    }
  }
}

// Both sides of a pooling in channels_last.
struct Images {
  Images(const PoolShape& s, const Rows& rows, Layout source_layout, Layout destination_layout, DType type,
         onednn::Direction source_direction, int most_threads, ScratchPlan& plan)
      : shape(s),
        rows_count(rows.count),
        source_elements(s.channels * s.height * s.width),
        destination_elements(s.channels * s.out_height * s.out_width),
        threads(rows.count * source_elements < 2 * kParallelGrain ? 1 : most_threads),
        source(bridge({rows.count, s.channels, s.height, s.width}, source_layout, type, source_direction, plan)),
        destination(bridge(
            {rows.count, s.channels, s.out_height, s.out_width}, destination_layout, type,
            source_direction == onednn::Direction::read ? onednn::Direction::write : onednn::Direction::read, plan)) {}

  // body(sample, thread) for all samples.
  template <class Body>
  void for_samples(const Body& body) const {
    const std::int64_t share = (rows_count + threads - 1) / threads;
    parallel_for(threads, threads, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        for (std::int64_t n = thread * share; n < std::min(rows_count, (thread + 1) * share); ++n) body(n, thread);
      }
    });
  }

  PoolShape shape;
  std::int64_t rows_count, source_elements, destination_elements;
  int threads;
  onednn::Bridge source, destination;

 private:
  static onednn::Bridge bridge(const dnnl::memory::dims& dims, Layout layout, DType type, onednn::Direction direction,
                               ScratchPlan& plan) {
    return {onednn::image(dims, layout, type), onednn::image(dims, Layout::channels_last, type), direction, plan};
  }
};

// Room in scratch for some pixels of an image in fp32, for each thread. Images in fp32 need none.
class WidePixels {
 public:
  WidePixels(const Images& images, std::int64_t pixels, DType type, ScratchPlan& plan)
      : floats_(type == DType::bf16 ? pixels * images.shape.channels : 0),
        at_(plan.reserve(static_cast<std::size_t>(images.threads * floats_) * sizeof(float))) {}

  float* of(std::byte* scratch, std::int64_t thread) const {
    return reinterpret_cast<float*>(scratch + at_) + thread * floats_;
  }

 private:
  std::int64_t floats_;
  std::size_t at_;
};

template <class T>
class MaxForwardKernel final : public LoopKernel {
 public:
  MaxForwardKernel(const PoolForward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, op.type, onednn::Direction::read, threads, plan_),
        training_(op.training),
        rows_(images_, op.shape.kernel.height * op.shape.width + op.shape.out_width, op.type, plan_),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(images_.threads);
    const T* source = images_.source.place<T>(arguments[0], scratch);
    T* destination = images_.destination.place<T>(arguments[1], scratch);
    images_.source.cross(stream_, scratch);
    auto* workspace = training_ ? argument<std::int32_t>(arguments, 2) : nullptr;
    images_.for_samples([&](std::int64_t n, std::int64_t thread) {
      max_forward(images_.shape, source + n * images_.source_elements, destination + n * images_.destination_elements,
                  workspace == nullptr ? nullptr : workspace + n * images_.destination_elements,
                  rows_.of(scratch, thread));
    });
    images_.destination.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  bool training_;
  WidePixels rows_;
  dnnl::stream stream_;
};

class AverageForwardKernel final : public LoopKernel {
 public:
  AverageForwardKernel(const PoolForward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, op.type, onednn::Direction::read, threads, plan_),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(images_.threads);
    const float* source = images_.source.place(arguments[0], scratch);
    float* destination = images_.destination.place(arguments[1], scratch);
    images_.source.cross(stream_, scratch);
    images_.for_samples([&](std::int64_t n, std::int64_t) {
      average_forward(images_.shape, source + n * images_.source_elements,
                      destination + n * images_.destination_elements);
    });
    images_.destination.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  dnnl::stream stream_;
};

template <class T>
class MaxBackwardKernel final : public LoopKernel {
 public:
  MaxBackwardKernel(const PoolBackward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, op.type, onednn::Direction::write, threads, plan_),
        sums_(images_, op.shape.height * op.shape.width, op.type, plan_),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(images_.threads);
    const T* diff_destination = images_.destination.place<T>(arguments[0], scratch);
    const auto* workspace = argument<const std::int32_t>(arguments, 1);
    T* diff_source = images_.source.place<T>(arguments[2], scratch);
    images_.destination.cross(stream_, scratch);
    images_.for_samples([&](std::int64_t n, std::int64_t thread) {
      max_backward(images_.shape, diff_destination + n * images_.destination_elements,
                   workspace + n * images_.destination_elements, sums_.of(scratch, thread),
                   diff_source + n * images_.source_elements);
    });
    images_.source.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  WidePixels sums_;
  dnnl::stream stream_;
};

class AverageBackwardKernel final : public LoopKernel {
 public:
  AverageBackwardKernel(const PoolBackward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, op.type, onednn::Direction::write, threads, plan_),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(images_.threads);
    const float* diff_destination = images_.destination.place(arguments[0], scratch);
    float* diff_source = images_.source.place(arguments[1], scratch);
    images_.destination.cross(stream_, scratch);
    images_.for_samples([&](std::int64_t n, std::int64_t) {
      float* dx = diff_source + n * images_.source_elements;
      std::fill_n(dx, images_.source_elements, 0.0f);
      average_backward(images_.shape, diff_destination + n * images_.destination_elements, dx);
    });
    images_.source.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  dnnl::stream stream_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const PoolForward& op, BindContext& context) {
  if (op.shape.kind == PoolKind::max) return bind_typed<MaxForwardKernel>(op, context.threads);
  if (op.type == DType::bf16) return nullptr;
  return std::make_unique<AverageForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const PoolBackward& op, BindContext& context) {
  if (op.shape.kind == PoolKind::max) return bind_typed<MaxBackwardKernel>(op, context.threads);
  if (op.type == DType::bf16) return nullptr;
  return std::make_unique<AverageBackwardKernel>(op, context.threads);
}

}  // namespace hadal
