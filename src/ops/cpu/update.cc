// Update rules in one pass: parts are summed, and weights and states updated, block by block, while a block is in the
// first-level cache. Rounded after each operation, in the order of the reference's (ops/reference/update_step.h).

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/sum_tree.h"
#include "ops/cpu/threads.h"
#include "ops/cpu/update_block.h"

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

// One element by each rule; kStates: how many of s, t there are.
struct Sgd {
  static constexpr int kStates = 0;
  static void step(const UpdateCoefficients& by, float g, float& w, float&, float&) {
    w = w - by.rate * (g + by.decay * w);
  }
};
struct SgdWithMomentum {
  static constexpr int kStates = 1;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float&) {
    s = by.momentum * s + (g + by.decay * w);
    w = w - by.rate * s;
  }
};
struct Nesterov {
  static constexpr int kStates = 1;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float&) {
    g = g + by.decay * w;
    s = by.momentum * s + g;
    w = w - by.rate * (g + by.momentum * s);
  }
};
struct Adagrad {
  static constexpr int kStates = 1;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float&) {
    g = g + by.decay * w;
    s = s + g * g;
    w = w - by.rate * (g / (std::sqrt(s) + by.epsilon));
  }
};
struct Rmsprop {
  static constexpr int kStates = 1;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float&) {
    g = g + by.decay * w;
    s = by.beta2 * s + by.rest2 * (g * g);
    w = w - by.rate * (g / (std::sqrt(s) + by.epsilon));
  }
};
struct RmspropWithMomentum {
  static constexpr int kStates = 2;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float& t) {
    g = g + by.decay * w;
    s = by.beta2 * s + by.rest2 * (g * g);
    t = by.momentum * t + g / (std::sqrt(s) + by.epsilon);
    w = w - by.rate * t;
  }
};
struct Adam {
  static constexpr int kStates = 2;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float& t) {
    g = g + by.decay * w;
    s = by.beta1 * s + by.rest1 * g;
    t = by.beta2 * t + by.rest2 * (g * g);
    w = w - by.rate * (s / (std::sqrt(t) * by.root + by.epsilon));
  }
};
struct Adamw {
  static constexpr int kStates = 2;
  static void step(const UpdateCoefficients& by, float g, float& w, float& s, float& t) {
    w = by.shrink * w;
    s = by.beta1 * s + by.rest1 * g;
    t = by.beta2 * t + by.rest2 * (g * g);
    w = w - by.rate * (s / (std::sqrt(t) * by.root + by.epsilon));
  }
};

template <class Rule, class Store>
[[gnu::always_inline]] inline void apply(const UpdateCoefficients& coefficients, const float* __restrict g,
                                         float* __restrict w, float* __restrict s, float* __restrict t,
                                         const Store& store, std::int64_t count) {
  const UpdateCoefficients by = coefficients;  // a copy: no store can change it
  float none = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Rule::step(by, g[i], w[i], Rule::kStates > 0 ? s[i] : none, Rule::kStates > 1 ? t[i] : none);
    store(i, w[i]);
  }
}

template <class Store>
[[gnu::always_inline]] inline void apply_rule(const UpdateCoefficients& by, const float* g, const UpdateTarget& to,
                                              const Store& store, std::int64_t count) {
  const auto by_rule = [&](auto rule) { apply<decltype(rule)>(by, g, to.w, to.states[0], to.states[1], store, count); };
  switch (by.kind) {
    case RuleKind::sgd:
      return to.states[0] == nullptr ? by_rule(Sgd{}) : by_rule(SgdWithMomentum{});
    case RuleKind::nesterov:
      return to.states[0] == nullptr ? by_rule(Sgd{}) : by_rule(Nesterov{});
    case RuleKind::adagrad:
      return by_rule(Adagrad{});
    case RuleKind::rmsprop:
      return to.states[1] == nullptr ? by_rule(Rmsprop{}) : by_rule(RmspropWithMomentum{});
    case RuleKind::adam:
      return by_rule(Adam{});
    case RuleKind::adamw:
      return by_rule(Adamw{});
  }
}

HADAL_CLONES void apply_to_weights(const UpdateCoefficients& by, const float* g, const UpdateTarget& to,
                                   std::int64_t count) {
  apply_rule(by, g, to, NoCopy{}, count);
}
HADAL_CLONES void apply_with_copy(const UpdateCoefficients& by, const float* g, const UpdateTarget& to,
                                  std::int64_t count) {
  apply_rule(by, g, to, CopyTo{to.copy}, count);
}

}  // namespace

UpdateCoefficients::UpdateCoefficients(const UpdateRule& rule, double learning_rate, std::uint64_t updates)
    : kind(rule.kind),
      rate(static_cast<float>(learning_rate * rule.rate_mult * bias_correction(rule, updates + 1).rate)),
      root(static_cast<float>(bias_correction(rule, updates + 1).root)),
      momentum(static_cast<float>(rule.momentum)),
      decay(static_cast<float>(rule.weight_decay)),
      shrink(static_cast<float>(1 - learning_rate * rule.rate_mult * rule.weight_decay)),
      beta1(static_cast<float>(rule.beta1)),
      rest1(static_cast<float>(1 - rule.beta1)),
      beta2(static_cast<float>(rule.beta2)),
      rest2(static_cast<float>(1 - rule.beta2)),
      epsilon(static_cast<float>(rule.epsilon)) {}

UpdateTarget UpdateTarget::from(std::int64_t first) const {
  const auto at = [first](auto* pointer) { return pointer == nullptr ? nullptr : pointer + first; };
  return {at(w), {at(states[0]), at(states[1])}, at(copy)};
}

bool update_block(const UpdateCoefficients& by, const float* g, const UpdateTarget& to, std::int64_t count) {
  if (largest_bits(g, count) >= kInfinityBits) return false;
  if (to.copy != nullptr) {
    apply_with_copy(by, g, to, count);
  } else {
    apply_to_weights(by, g, to, count);
  }
  return true;
}

namespace {

class UpdateKernel final : public LoopKernel {
 public:
  UpdateKernel(const Update& op, int threads) : op_(op), threads_(threads), states_(op.rule.state_count()) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    const UpdateCoefficients by(op_.rule, values.rate, values.step);
    std::atomic<bool> finite{true};
    const std::int64_t share = (op_.elements + threads_ - 1) / threads_;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        float* levels =
            reinterpret_cast<float*>(scratch) + static_cast<std::size_t>(thread) * sum_tree_floats(op_.parts);
        if (!update_range(arguments, thread * share, std::min(op_.elements, (thread + 1) * share), levels, by)) {
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
                    const UpdateCoefficients& by) const {
    const auto parts = arguments.first(static_cast<std::size_t>(op_.parts));
    std::size_t next = parts.size();
    const float* scale = op_.scaled ? floats_in(arguments, next++) : nullptr;
    UpdateTarget to{.w = floats_out(arguments, next++)};
    for (std::size_t s = 0; s < states_; ++s) to.states[s] = floats_out(arguments, next++);
    if (op_.copies) to.copy = argument<Bf16>(arguments, next);

    for (std::int64_t first = begin; first < end; first += kSumBlock) {
      const std::int64_t count = std::min(kSumBlock, end - first);
      const float* g = sum_block(parts, first, count, levels);
      if (scale != nullptr) {
        scale_by(*scale, g, levels, count);
        g = levels;
      }
      if (!update_block(by, g, to.from(first), count)) return false;
    }
    return true;
  }

  Update op_;
  int threads_;
  std::size_t states_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const Update& op, BindContext& context) {
  return std::make_unique<UpdateKernel>(op, op.elements < 2 * kParallelGrain ? 1 : context.threads);
}

}  // namespace hadal
