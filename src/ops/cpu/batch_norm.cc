// Batch normalisation in the parts that the plan makes of it (nn/op.h). Sums are in double precision, each channel's in
// one order, so that threads share out the channels.

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

constexpr int kLanes = 8;

// Two sums over an array, kLanes partial sums each.
struct LaneSums {
  double first[kLanes] = {}, second[kLanes] = {};

  [[gnu::always_inline]] void add(int lane, double a, double b) {
    first[lane] += a;
    second[lane] += b;
  }
  static double all(const double* lanes) {
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  }
};

// Of each term i: terms(i, add) calls add(a, b) once.
template <class Term>
[[gnu::always_inline]] inline void sum_plane(std::int64_t count, const Term& term, double& first, double& second) {
  LaneSums sums;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sums.add(lane, term.first(i + lane), term.second(i + lane));
  }
  for (int lane = 0; i < count; ++i, ++lane) sums.add(lane, term.first(i), term.second(i));
  first += LaneSums::all(sums.first);
  second += LaneSums::all(sums.second);
}

// Elements and their squares.
template <class T>
struct Squares {
  const T* __restrict x;
  [[gnu::always_inline]] double first(std::int64_t i) const { return static_cast<double>(static_cast<float>(x[i])); }
  [[gnu::always_inline]] double second(std::int64_t i) const { return first(i) * first(i); }
};

// Diffs times the normalised elements, and diffs.
template <class T>
struct Products {
  const T* __restrict x;
  const T* __restrict dy;
  float mean, inverse;
  [[gnu::always_inline]] double first(std::int64_t i) const {
    return second(i) * static_cast<double>((static_cast<float>(x[i]) - mean) * inverse);
  }
  [[gnu::always_inline]] double second(std::int64_t i) const { return static_cast<double>(static_cast<float>(dy[i])); }
};

// One channel's plane of a canonical image.
template <class T>
[[gnu::always_inline]] inline void plane_squares(const T* x, std::int64_t count, double& sum, double& squares) {
  sum_plane(count, Squares<T>{x}, sum, squares);
}
template <class T>
[[gnu::always_inline]] inline void plane_products(const T* x, const T* dy, std::int64_t count, float mean,
                                                  float inverse, double& products, double& sum) {
  sum_plane(count, Products<T>{x, dy, mean, inverse}, products, sum);
}
// The channels of one pixel; `channels` of them.
template <class T>
[[gnu::always_inline]] inline void pixel_squares(const T* __restrict x, std::int64_t channels, double* __restrict sums,
                                                 double* __restrict squares) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto value = static_cast<double>(static_cast<float>(x[c]));
    sums[c] += value;
    squares[c] += value * value;
  }
}
template <class T>
[[gnu::always_inline]] inline void pixel_products(const T* __restrict x, const T* __restrict dy, std::int64_t channels,
                                                  const float* __restrict mean, const float* __restrict inverse,
                                                  double* __restrict products, double* __restrict sums) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto diff = static_cast<double>(static_cast<float>(dy[c]));
    products[c] += diff * static_cast<double>((static_cast<float>(x[c]) - mean[c]) * inverse[c]);
    sums[c] += diff;
  }
}

// y = (x - mean) scale + bias, and dx = scale (dy - bias - (x - mean) slope).
template <class T>
[[gnu::always_inline]] inline void scale_plane(const T* __restrict x, std::int64_t count, float mean, float scale,
                                               float bias, T* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = static_cast<T>((static_cast<float>(x[i]) - mean) * scale + bias);
}
template <class T>
[[gnu::always_inline]] inline void scale_pixel(const T* __restrict x, std::int64_t channels,
                                               const float* __restrict mean, const float* __restrict scale,
                                               const float* __restrict bias, T* __restrict y) {
  for (std::int64_t c = 0; c < channels; ++c) {
    y[c] = static_cast<T>((static_cast<float>(x[c]) - mean[c]) * scale[c] + bias[c]);
  }
}
template <class T>
[[gnu::always_inline]] inline void diff_plane(const T* __restrict x, const T* __restrict dy, std::int64_t count,
                                              float mean, float scale, float bias, float slope, T* __restrict dx) {
  for (std::int64_t i = 0; i < count; ++i) {
    dx[i] = static_cast<T>(scale * (static_cast<float>(dy[i]) - bias - (static_cast<float>(x[i]) - mean) * slope));
  }
}
template <class T>
[[gnu::always_inline]] inline void diff_pixel(const T* __restrict x, const T* __restrict dy, std::int64_t channels,
                                              const float* __restrict mean, const float* __restrict scale,
                                              const float* __restrict bias, const float* __restrict slope,
                                              T* __restrict dx) {
  for (std::int64_t c = 0; c < channels; ++c) {
    dx[c] = static_cast<T>(scale[c] *
                           (static_cast<float>(dy[c]) - bias[c] - (static_cast<float>(x[c]) - mean[c]) * slope[c]));
  }
}

// Clones are no templates. A type takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define HADAL_FOR_EACH_TYPE(T)                                                                                       \
  HADAL_CLONES void squares_of_plane(const T* x, std::int64_t count, double& sum, double& squares) {                 \
    plane_squares(x, count, sum, squares);                                                                           \
  }                                                                                                                  \
  HADAL_CLONES void products_of_plane(const T* x, const T* dy, std::int64_t count, float mean, float inverse,        \
                                      double& products, double& sum) {                                               \
    plane_products(x, dy, count, mean, inverse, products, sum);                                                      \
  }                                                                                                                  \
  HADAL_CLONES void squares_of_pixel(const T* x, std::int64_t channels, double* sums, double* squares) {             \
    pixel_squares(x, channels, sums, squares);                                                                       \
  }                                                                                                                  \
  HADAL_CLONES void products_of_pixel(const T* x, const T* dy, std::int64_t channels, const float* mean,             \
                                      const float* inverse, double* products, double* sums) {                        \
    pixel_products(x, dy, channels, mean, inverse, products, sums);                                                  \
  }                                                                                                                  \
  HADAL_CLONES void normalise_plane(const T* x, std::int64_t count, float mean, float scale, float bias, T* y) {     \
    scale_plane(x, count, mean, scale, bias, y);                                                                     \
  }                                                                                                                  \
  HADAL_CLONES void normalise_pixel(const T* x, std::int64_t channels, const float* mean, const float* scale,        \
                                    const float* bias, T* y) {                                                       \
    scale_pixel(x, channels, mean, scale, bias, y);                                                                  \
  }                                                                                                                  \
  HADAL_CLONES void diffs_of_plane(const T* x, const T* dy, std::int64_t count, float mean, float scale, float bias, \
                                   float slope, T* dx) {                                                             \
    diff_plane(x, dy, count, mean, scale, bias, slope, dx);                                                          \
  }                                                                                                                  \
  HADAL_CLONES void diffs_of_pixel(const T* x, const T* dy, std::int64_t channels, const float* mean,                \
                                   const float* scale, const float* bias, const float* slope, T* dx) {               \
    diff_pixel(x, dy, channels, mean, scale, bias, slope, dx);                                                       \
  }
HADAL_FOR_EACH_TYPE(float)
HADAL_FOR_EACH_TYPE(Bf16)
#undef HADAL_FOR_EACH_TYPE
// NOLINTEND(bugprone-macro-parentheses)

// How the elements of a batch lie: planes of one channel each, or pixels with all their channels.
class Elements {
 public:
  Elements(const BatchNormShape& shape, const Rows& rows, Layout layout, int threads)
      : shape_(shape),
        by_pixel_(layout == Layout::channels_last || shape.pixels == 1),
        threads_(rows.count * shape.pixels * shape.channels < 2 * kParallelGrain ? 1 : threads) {}

  // plane(channel, at): the elements at ... at + pixels - 1 are of one channel; pixel(channel, past, at): element at +
  // c is of channel c, channel <= c < past. Rows first ... past - 1, those of a channel in their order.
  template <class Plane, class Pixel>
  void for_each(std::int64_t first, std::int64_t past, const Plane& plane, const Pixel& pixel) const {
    parallel_for(threads_, shape_.channels, 1, [&](std::int64_t channel, std::int64_t past_channel) {
      const std::int64_t row = shape_.channels * shape_.pixels;
      for (std::int64_t n = first; n < past; ++n) {
        if (by_pixel_) {
          for (std::int64_t p = 0; p < shape_.pixels; ++p) pixel(channel, past_channel, n * row + p * shape_.channels);
        } else {
          for (std::int64_t c = channel; c < past_channel; ++c) plane(c, n * row + c * shape_.pixels);
        }
      }
    });
  }

 private:
  BatchNormShape shape_;
  bool by_pixel_;
  int threads_;
};

void write_inverse_deviations(const BatchNormShape& s, const float* variance, float* inverse) {
  for (std::int64_t c = 0; c < s.channels; ++c) {
    inverse[c] = static_cast<float>(1 / std::sqrt(static_cast<double>(variance[c]) + static_cast<double>(s.epsilon)));
  }
}

double total(const double* sums, const BatchNormShape& s, std::int64_t parts, std::int64_t index) {
  double sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) sum += sums[part * s.sums() + index];
  return sum;
}

template <class T>
class SumsKernel final : public LoopKernel {
 public:
  SumsKernel(const BatchNormSums& op, int threads) : op_(op), elements_(op.shape, op.rows, op.layout, threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const T* x = argument<T>(arguments, 0);
    double* sums = argument<double>(arguments, 1);
    std::int64_t first = 0;
    for (std::int64_t unit = 0; unit < op_.rows.unit_count(); ++unit, sums += op_.shape.sums()) {
      double* squares = sums + op_.shape.channels;
      std::fill_n(sums, op_.shape.sums(), 0.0);
      elements_.for_each(
          first, first + op_.rows.unit(unit),
          [&](std::int64_t c, std::int64_t at) { squares_of_plane(x + at, op_.shape.pixels, sums[c], squares[c]); },
          [&](std::int64_t c, std::int64_t past, std::int64_t at) {
            squares_of_pixel(x + at + c, past - c, sums + c, squares + c);
          });
      first += op_.rows.unit(unit);
    }
  }

 private:
  BatchNormSums op_;
  Elements elements_;
};

class StatisticsKernel final : public LoopKernel {
 public:
  explicit StatisticsKernel(const BatchNormStatistics& op) : op_(op) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const BatchNormShape& s = op_.shape;
    const double* sums = argument<double>(arguments, 0);
    const auto count = static_cast<double>(op_.rows * s.pixels);
    for (std::int64_t c = 0; c < s.channels; ++c) {
      const double mean = total(sums, s, op_.parts, c) / count;
      const double squares = total(sums, s, op_.parts, s.channels + c) / count - mean * mean;
      const double variance = squares < 0 ? 0 : squares;  // a NaN stays one
      if (!std::isfinite(static_cast<float>(variance))) throw NotFinite("the batch's variance is not finite");
      floats_out(arguments, 1)[c] = static_cast<float>(mean);
      floats_out(arguments, 2)[c] = static_cast<float>(variance);
      if (!op_.running) continue;
      move(floats_out(arguments, 3)[c], mean);
      move(floats_out(arguments, 4)[c], count > 1 ? variance * count / (count - 1) : variance);
    }
  }

 private:
  void move(float& running, double towards) const {
    running = static_cast<float>((1 - op_.momentum) * static_cast<double>(running) + op_.momentum * towards);
  }

  BatchNormStatistics op_;
};

template <class T>
class ForwardKernel final : public LoopKernel {
 public:
  ForwardKernel(const BatchNormForward& op, int threads) : op_(op), elements_(op.shape, op.rows, op.layout, threads) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const T* x = argument<T>(arguments, 0);
    const float *mean = floats_in(arguments, 1), *weight = floats_in(arguments, 3), *bias = floats_in(arguments, 4);
    T* y = argument<T>(arguments, 5);
    auto* scale = reinterpret_cast<float*>(scratch);
    write_inverse_deviations(op_.shape, floats_in(arguments, 2), scale);
    for (std::int64_t c = 0; c < op_.shape.channels; ++c) scale[c] *= weight[c];
    elements_.for_each(
        0, op_.rows.count,
        [&](std::int64_t c, std::int64_t at) {
          normalise_plane(x + at, op_.shape.pixels, mean[c], scale[c], bias[c], y + at);
        },
        [&](std::int64_t c, std::int64_t past, std::int64_t at) {
          normalise_pixel(x + at + c, past - c, mean + c, scale + c, bias + c, y + at + c);
        });
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(op_.shape.channels) * sizeof(float); }

 private:
  BatchNormForward op_;
  Elements elements_;
};

template <class T>
class BackwardSumsKernel final : public LoopKernel {
 public:
  BackwardSumsKernel(const BatchNormBackwardSums& op, int threads)
      : op_(op), elements_(op.shape, op.rows, op.layout, threads) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const T *x = argument<T>(arguments, 0), *dy = argument<T>(arguments, 1);
    const float* mean = floats_in(arguments, 2);
    double* products = argument<double>(arguments, 4);
    auto* inverse = reinterpret_cast<float*>(scratch);
    write_inverse_deviations(op_.shape, floats_in(arguments, 3), inverse);
    std::int64_t first = 0;
    for (std::int64_t unit = 0; unit < op_.rows.unit_count(); ++unit, products += op_.shape.sums()) {
      double* sums = products + op_.shape.channels;
      std::fill_n(products, op_.shape.sums(), 0.0);
      elements_.for_each(
          first, first + op_.rows.unit(unit),
          [&](std::int64_t c, std::int64_t at) {
            products_of_plane(x + at, dy + at, op_.shape.pixels, mean[c], inverse[c], products[c], sums[c]);
          },
          [&](std::int64_t c, std::int64_t past, std::int64_t at) {
            products_of_pixel(x + at + c, dy + at + c, past - c, mean + c, inverse + c, products + c, sums + c);
          });
      first += op_.rows.unit(unit);
    }
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(op_.shape.channels) * sizeof(float); }

 private:
  BatchNormBackwardSums op_;
  Elements elements_;
};

class BackwardWeightsKernel final : public LoopKernel {
 public:
  explicit BackwardWeightsKernel(const BatchNormBackwardWeights& op) : op_(op) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const BatchNormShape& s = op_.shape;
    const double* sums = argument<double>(arguments, 0);
    for (std::int64_t c = 0; c < s.channels; ++c) {
      floats_out(arguments, 1)[c] = static_cast<float>(total(sums, s, op_.parts, c));
      floats_out(arguments, 2)[c] = static_cast<float>(total(sums, s, op_.parts, s.channels + c));
    }
  }

 private:
  BatchNormBackwardWeights op_;
};

template <class T>
class BackwardDataKernel final : public LoopKernel {
 public:
  BackwardDataKernel(const BatchNormBackwardData& op, int threads)
      : op_(op), elements_(op.shape, op.rows, op.layout, threads) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const T *x = argument<T>(arguments, 0), *dy = argument<T>(arguments, 1);
    const float *mean = floats_in(arguments, 2), *weight = floats_in(arguments, 4);
    T* dx = argument<T>(arguments, 7);
    const std::int64_t channels = op_.shape.channels;
    auto* scale = reinterpret_cast<float*>(scratch);
    float *bias = scale + channels, *slope = bias + channels;
    write_inverse_deviations(op_.shape, floats_in(arguments, 3), scale);
    const double share = 1 / static_cast<double>(op_.batch_rows * op_.shape.pixels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double inverse = scale[c];
      bias[c] = static_cast<float>(static_cast<double>(floats_in(arguments, 6)[c]) * share);
      slope[c] = static_cast<float>(static_cast<double>(floats_in(arguments, 5)[c]) * share * inverse);
      scale[c] *= weight[c];
    }
    elements_.for_each(
        0, op_.rows.count,
        [&](std::int64_t c, std::int64_t at) {
          diffs_of_plane(x + at, dy + at, op_.shape.pixels, mean[c], scale[c], bias[c], slope[c], dx + at);
        },
        [&](std::int64_t c, std::int64_t past, std::int64_t at) {
          diffs_of_pixel(x + at + c, dy + at + c, past - c, mean + c, scale + c, bias + c, slope + c, dx + at + c);
        });
  }

  std::size_t scratch_bytes() const override {
    return 3 * static_cast<std::size_t>(op_.shape.channels) * sizeof(float);
  }

 private:
  BatchNormBackwardData op_;
  Elements elements_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const BatchNormSums& op, BindContext& context) {
  return bind_typed<SumsKernel>(op, context.threads);
}
std::unique_ptr<Kernel> bind_kernel(const BatchNormStatistics& op, BindContext&) {
  return std::make_unique<StatisticsKernel>(op);
}
std::unique_ptr<Kernel> bind_kernel(const BatchNormForward& op, BindContext& context) {
  return bind_typed<ForwardKernel>(op, context.threads);
}
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardSums& op, BindContext& context) {
  return bind_typed<BackwardSumsKernel>(op, context.threads);
}
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardWeights& op, BindContext&) {
  return std::make_unique<BackwardWeightsKernel>(op);
}
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardData& op, BindContext& context) {
  return bind_typed<BackwardDataKernel>(op, context.threads);
}

}  // namespace hadal
