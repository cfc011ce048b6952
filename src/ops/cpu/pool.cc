// Pooling of channels_last images: the maximum, or the mean, of the part of each window that lies inside the image, for
// all channels of a pixel at once. Canonical images are reordered through scratch.
//
// A window's maximum is its first largest element in row-major order, or its last NaN where it has one (as PyTorch).
// The workspace holds, for each output element in the destination's channels_last order, its place in the window: row *
// kernel + column. Samples are computed each by itself, in one order, so units need no test.

#include <algorithm>
#include <cstring>

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
      : origin_y(i * s.stride - s.pad),
        origin_x(j * s.stride - s.pad),
        top(std::max<std::int64_t>(origin_y, 0)),
        bottom(std::min(origin_y + s.kernel, s.height)),
        left(std::max<std::int64_t>(origin_x, 0)),
        right(std::min(origin_x + s.kernel, s.width)) {}

  std::int64_t elements() const { return (bottom - top) * (right - left); }
  std::int32_t place(const PoolShape& s, std::int64_t y, std::int64_t x) const {
    return static_cast<std::int32_t>((y - origin_y) * s.kernel + (x - origin_x));
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

// All channels of a window, some at once.
template <class Floats, class Ints, int kKernel>
[[gnu::always_inline]] inline void max_of_window(const PoolShape& s, const Window& window, const float* source,
                                                 float* destination, std::int32_t* where) {
  Floats best;
  Ints best_place = Ints{} + window.place(s, window.top, window.left);
  std::memcpy(&best, source + (window.top * s.width + window.left) * s.channels, sizeof(best));
  for_pixels<kKernel>(s, window, [&](std::int64_t offset, std::int32_t place) {
    Floats value;
    std::memcpy(&value, source + offset, sizeof(value));
    const auto larger = (value > best) | (value != value);
    best = larger ? value : best;
    best_place = larger ? Ints{} + place : best_place;
  });
  std::memcpy(destination, &best, sizeof(best));
  if (where != nullptr) std::memcpy(where, &best_place, sizeof(best_place));
}

template <class Floats, class Ints, int kKernel>
[[gnu::always_inline]] inline void add_to_maximum(const PoolShape& s, const Window& window,
                                                  const float* diff_destination, const std::int32_t* where,
                                                  float* diff_source) {
  Floats diff;
  Ints best_place;
  std::memcpy(&diff, diff_destination, sizeof(diff));
  std::memcpy(&best_place, where, sizeof(best_place));
  for_pixels<kKernel>(s, window, [&](std::int64_t offset, std::int32_t place) {
    Floats sum;
    std::memcpy(&sum, diff_source + offset, sizeof(sum));
    sum += best_place == Ints{} + place ? diff : Floats{};
    std::memcpy(diff_source + offset, &sum, sizeof(sum));
  });
}

template <int kKernel>
[[gnu::always_inline]] inline void max_of_channels(const PoolShape& s, const Window& window, const float* source,
                                                   float* destination, std::int32_t* where) {
  std::int64_t c = 0;
  const auto at = [&](std::int64_t channel) { return where == nullptr ? nullptr : where + channel; };
  for (; c + 4 <= s.channels; c += 4) {
    max_of_window<Floats4, Ints4, kKernel>(s, window, source + c, destination + c, at(c));
  }
  for (; c < s.channels; ++c) {
    max_of_window<float, std::int32_t, kKernel>(s, window, source + c, destination + c, at(c));
  }
}

template <int kKernel>
[[gnu::always_inline]] inline void add_to_maxima(const PoolShape& s, const Window& window, const float* diff,
                                                 const std::int32_t* where, float* diff_source) {
  std::int64_t c = 0;
  for (; c + 4 <= s.channels; c += 4) {
    add_to_maximum<Floats4, Ints4, kKernel>(s, window, diff + c, where + c, diff_source + c);
  }
  for (; c < s.channels; ++c) {
    add_to_maximum<float, std::int32_t, kKernel>(s, window, diff + c, where + c, diff_source + c);
  }
}

// One sample each; `where` may be null.
HADAL_CLONES void max_forward(const PoolShape& shape, const float* source, float* destination, std::int32_t* where) {
  const PoolShape s = shape;  // a copy: no store can change it
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j, destination += s.channels) {
      const Window window(s, i, j);
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
}

HADAL_CLONES void max_backward(const PoolShape& shape, const float* diff_destination, const std::int32_t* where,
                               float* diff_source) {
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
  Images(const PoolShape& s, const Rows& rows, Layout source_layout, Layout destination_layout,
         onednn::Direction source_direction, ScratchPlan& plan)
      : shape(s),
        rows_count(rows.count),
        source_elements(s.channels * s.height * s.width),
        destination_elements(s.channels * s.out_height * s.out_width),
        source(bridge({rows.count, s.channels, s.height, s.width}, source_layout, source_direction, plan)),
        destination(bridge(
            {rows.count, s.channels, s.out_height, s.out_width}, destination_layout,
            source_direction == onednn::Direction::read ? onednn::Direction::write : onednn::Direction::read, plan)) {}

  // body(sample) for all samples.
  template <class Body>
  void for_samples(int threads, const Body& body) const {
    parallel_for(threads, rows_count,
                 std::max<std::int64_t>(1, kParallelGrain / std::max<std::int64_t>(source_elements, 1)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t n = begin; n < end; ++n) body(n);
                 });
  }

  PoolShape shape;
  std::int64_t rows_count, source_elements, destination_elements;
  onednn::Bridge source, destination;

 private:
  static onednn::Bridge bridge(const dnnl::memory::dims& dims, Layout layout, onednn::Direction direction,
                               ScratchPlan& plan) {
    return {onednn::image(dims, layout), onednn::image(dims, Layout::channels_last), direction, plan};
  }
};

class PoolForwardKernel final : public LoopKernel {
 public:
  PoolForwardKernel(const PoolForward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, onednn::Direction::read, plan_),
        with_workspace_(op.training && op.shape.kind == PoolKind::max),
        threads_(threads),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* source = images_.source.place(arguments[0], scratch);
    float* destination = images_.destination.place(arguments[1], scratch);
    images_.source.cross(stream_, scratch);
    auto* workspace = with_workspace_ ? reinterpret_cast<std::int32_t*>(arguments[2]) : nullptr;
    images_.for_samples(threads_, [&](std::int64_t n) {
      const float* x = source + n * images_.source_elements;
      float* y = destination + n * images_.destination_elements;
      if (images_.shape.kind == PoolKind::max) {
        max_forward(images_.shape, x, y, workspace == nullptr ? nullptr : workspace + n * images_.destination_elements);
      } else {
        average_forward(images_.shape, x, y);
      }
    });
    images_.destination.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  bool with_workspace_;
  int threads_;
  dnnl::stream stream_;
};

class PoolBackwardKernel final : public LoopKernel {
 public:
  PoolBackwardKernel(const PoolBackward& op, int threads)
      : images_(op.shape, op.rows, op.source, op.destination, onednn::Direction::write, plan_),
        threads_(threads),
        stream_(onednn::cpu_engine()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const bool max = images_.shape.kind == PoolKind::max;
    const float* diff_destination = images_.destination.place(arguments[0], scratch);
    const auto* workspace = max ? reinterpret_cast<const std::int32_t*>(arguments[1]) : nullptr;
    float* diff_source = images_.source.place(arguments[max ? 2 : 1], scratch);
    images_.destination.cross(stream_, scratch);
    images_.for_samples(threads_, [&](std::int64_t n) {
      const float* dy = diff_destination + n * images_.destination_elements;
      float* dx = diff_source + n * images_.source_elements;
      std::fill_n(dx, images_.source_elements, 0.0f);
      if (max) {
        max_backward(images_.shape, dy, workspace + n * images_.destination_elements, dx);
      } else {
        average_backward(images_.shape, dy, dx);
      }
    });
    images_.source.cross(stream_, scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }

 private:
  ScratchPlan plan_;
  Images images_;
  int threads_;
  dnnl::stream stream_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const PoolForward& op, BindContext& context) {
  return std::make_unique<PoolForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const PoolBackward& op, BindContext& context) {
  return std::make_unique<PoolBackwardKernel>(op, context.threads);
}

}  // namespace hadal
