// Stochastic gradient descent with momentum and weight decay in one pass: parts are summed, and weights and momentum
// updated, block by block, while a block is in the first-level cache. Rounded after each operation (nn/op.h).

#include <algorithm>
#include <atomic>
#include <bit>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/sgd.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/sum_tree.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// The largest bits of an absolute value: those of infinity or more where one is infinite or a NaN.
HADAL_CLONES std::uint32_t largest_bits(const float* g, std::int64_t count) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(g[i]) & 0x7FFFFFFFu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

constexpr std::uint32_t kInfinityBits = 0x7F800000u;

HADAL_CLONES void scale_by(float factor, const float* g, float* scaled, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) scaled[i] = factor * g[i];
}

struct NoCopy {
  [[gnu::always_inline]] void operator()(std::int64_t, float) const {}
};
struct CopyTo {
  Bf16* __restrict copy;
  [[gnu::always_inline]] void operator()(std::int64_t i, float w) const { copy[i] = static_cast<Bf16>(w); }
};

template <class Store>
[[gnu::always_inline]] inline void update(const SgdCoefficients& by, const float* __restrict g, float* __restrict w,
                                          float* __restrict v, const Store& store, std::int64_t count) {
  const float rate = by.rate, momentum = by.momentum, decay = by.decay;
  if (v == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      w[i] = w[i] - rate * (g[i] + decay * w[i]);
      store(i, w[i]);
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    v[i] = momentum * v[i] + (g[i] + decay * w[i]);
    w[i] = w[i] - rate * v[i];
    store(i, w[i]);
  }
}

HADAL_CLONES void update_weights(const SgdCoefficients& by, const float* g, float* w, float* v, std::int64_t count) {
  update(by, g, w, v, NoCopy{}, count);
}
HADAL_CLONES void update_with_copy(const SgdCoefficients& by, const float* g, float* w, float* v, Bf16* copy,
                                   std::int64_t count) {
  update(by, g, w, v, CopyTo{copy}, count);
}

}  // namespace

bool sgd_block(const SgdCoefficients& by, const float* g, float* w, float* v, Bf16* copy, std::int64_t count) {
  if (largest_bits(g, count) >= kInfinityBits) return false;
  if (copy != nullptr) {
    update_with_copy(by, g, w, v, copy, count);
  } else {
    update_weights(by, g, w, v, count);
  }
  return true;
}

namespace {

class SgdUpdateKernel final : public LoopKernel {
 public:
  SgdUpdateKernel(const SgdUpdate& op, int threads) : op_(op), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    std::atomic<bool> finite{true};
    const std::int64_t share = (op_.elements + threads_ - 1) / threads_;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        float* levels =
            reinterpret_cast<float*>(scratch) + static_cast<std::size_t>(thread) * sum_tree_floats(op_.parts);
        if (!update_range(arguments, thread * share, std::min(op_.elements, (thread + 1) * share), levels,
                          values.rate)) {
          finite = false;
        }
      }
    });
    if (!finite) throw NotFinite("the gradient is not finite");
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_) * sum_tree_floats(op_.parts) * sizeof(float);
  }

 private:
  // Ends at the first block whose gradient is not finite, and returns whether there was none.
  bool update_range(std::span<std::byte* const> arguments, std::int64_t begin, std::int64_t end, float* levels,
                    float rate) const {
    const auto parts = arguments.first(static_cast<std::size_t>(op_.parts));
    std::size_t next = parts.size();
    const float* scale = op_.scaled ? floats_in(arguments, next++) : nullptr;
    float* w = floats_out(arguments, next++);
    float* v = op_.momentum != 0 ? floats_out(arguments, next++) : nullptr;
    Bf16* copy = op_.copies ? argument<Bf16>(arguments, next) : nullptr;
    const SgdCoefficients by{.rate = rate, .momentum = op_.momentum, .decay = op_.weight_decay};

    for (std::int64_t first = begin; first < end; first += kSumBlock) {
      const std::int64_t count = std::min(kSumBlock, end - first);
      const float* g = sum_block(parts, first, count, levels);
      if (scale != nullptr) {
        scale_by(*scale, g, levels, count);
        g = levels;
      }
      if (!sgd_block(by, g, w + first, v == nullptr ? nullptr : v + first, copy == nullptr ? nullptr : copy + first,
                     count)) {
        return false;
      }
    }
    return true;
  }

  SgdUpdate op_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const SgdUpdate& op, BindContext& context) {
  return std::make_unique<SgdUpdateKernel>(op, op.elements < 2 * kParallelGrain ? 1 : context.threads);
}

}  // namespace hadal
