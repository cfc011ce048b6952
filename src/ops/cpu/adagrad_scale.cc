// Gradients of a device's rows by that device's own sums of squares. Rounded after each operation, in the order of the
// reference's.

#include <atomic>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

struct Coefficients {
  float share, decay, epsilon;
};

HADAL_CLONES void scale(const Coefficients& coefficients, float* __restrict g, float* __restrict s,
                        std::int64_t count) {
  const Coefficients by = coefficients;  // a copy: no store can change it
  for (std::int64_t i = 0; i < count; ++i) {
    const float e = g[i] / by.share;
    s[i] = s[i] + e * e;
    g[i] = by.share * (e / (std::sqrt(s[i]) + by.epsilon));
  }
}
HADAL_CLONES void scale_with_decay(const Coefficients& coefficients, const float* __restrict w, float* __restrict g,
                                   float* __restrict s, std::int64_t count) {
  const Coefficients by = coefficients;
  for (std::int64_t i = 0; i < count; ++i) {
    const float e = g[i] / by.share + by.decay * w[i];
    s[i] = s[i] + e * e;
    g[i] = by.share * (e / (std::sqrt(s[i]) + by.epsilon));
  }
}

// Of sums of squares.
HADAL_CLONES bool all_finite(const float* s, std::int64_t count) {
  std::int64_t infinite = 0;
  for (std::int64_t i = 0; i < count; ++i) infinite += s[i] <= std::numeric_limits<float>::max() ? 0 : 1;
  return infinite == 0;
}

class AdagradScaleKernel final : public LoopKernel {
 public:
  AdagradScaleKernel(const AdagradScale& op, int threads) : op_(op), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const Coefficients by{op_.share, static_cast<float>(op_.rule.weight_decay), static_cast<float>(op_.rule.epsilon)};
    const bool decays = op_.rule.weight_decay > 0;
    const float* w = decays ? floats_in(arguments, 0) : nullptr;
    float* g = floats_out(arguments, decays ? 1 : 0);
    float* s = floats_out(arguments, decays ? 2 : 1);
    std::atomic<bool> finite{true};
    parallel_for(threads_, op_.elements, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      if (decays) {
        scale_with_decay(by, w + begin, g + begin, s + begin, end - begin);
      } else {
        scale(by, g + begin, s + begin, end - begin);
      }
      if (!all_finite(s + begin, end - begin)) finite = false;
    });
    if (!finite) throw NotFinite("the gradient is not finite, or too large to be squared");
  }

 private:
  AdagradScale op_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const AdagradScale& op, BindContext& context) {
  return std::make_unique<AdagradScaleKernel>(op, op.elements < 2 * kParallelGrain ? 1 : context.threads);
}

}  // namespace hadal
