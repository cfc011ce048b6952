// Softmax, and cross-entropy of the softmax p of logits z with a label l: -log p[l]; by z[c] its gradient is
// p[c] - (c == l), here of the mean over the global batch. Each row is computed by itself, in one order. Where classes
// are divided the maximum M of all is the largest of the parts' maxima m, and the sum of exp(z - M) adds each part's
// sum times exp(m - M).

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

constexpr std::int64_t kLanes = 16;

// Writes exp(z[c] - maximum) to e[c], and gives their sum: 16 lanes, class c in lane c % 16, added in order.
HADAL_CLONES float exponentials(const float* __restrict z, float maximum, float* __restrict e, std::int64_t classes) {
  float lanes[kLanes] = {};
  std::int64_t c = 0;
  for (; c + kLanes <= classes; c += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      e[c + lane] = fast_exp(z[c + lane] - maximum);
      lanes[lane] += e[c + lane];
    }
  }
  for (std::int64_t lane = 0; c + lane < classes; ++lane) {
    e[c + lane] = fast_exp(z[c + lane] - maximum);
    lanes[lane] += e[c + lane];
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

HADAL_CLONES void divide(const float* e, float divisor, float* quotient, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) quotient[i] = e[i] / divisor;
}

// e: the exponentials and their sum.
template <class T>
[[gnu::always_inline]] inline void write_gradient(const float* __restrict e, float sum, float batch, T* __restrict diff,
                                                  std::int64_t classes) {
  for (std::int64_t c = 0; c < classes; ++c) diff[c] = static_cast<T>(e[c] / sum / batch);
}
HADAL_CLONES void gradient(const float* e, float sum, float batch, float* diff, std::int64_t classes) {
  write_gradient(e, sum, batch, diff, classes);
}
HADAL_CLONES void gradient(const float* e, float sum, float batch, Bf16* diff, std::int64_t classes) {
  write_gradient(e, sum, batch, diff, classes);
}

// Of the numbers that are not NaN.
HADAL_CLONES float largest(const float* z, std::int64_t classes) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -std::numeric_limits<float>::infinity());
  std::int64_t c = 0;
  for (; c + kLanes <= classes; c += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = z[c + lane] > lanes[lane] ? z[c + lane] : lanes[lane];
    }
  }
  for (std::int64_t lane = 0; c + lane < classes; ++lane) {
    lanes[lane] = z[c + lane] > lanes[lane] ? z[c + lane] : lanes[lane];
  }
  return *std::max_element(lanes, lanes + kLanes);
}

// How many of the classes come before the one with number `label`, which may be none of these.
HADAL_CLONES std::int32_t count_before(const float* z, std::int64_t classes, std::int64_t label, float at_label) {
  const std::int64_t lower = std::clamp<std::int64_t>(label, 0, classes);
  std::int32_t before = 0;
  for (std::int64_t c = 0; c < lower; ++c) before += z[c] >= at_label;
  for (std::int64_t c = lower; c < classes; ++c) before += z[c] > at_label;
  return before;
}

// Calls row(r, scratch of `classes` floats for the thread) on every row.
template <class Row>
void for_rows(int threads, std::int64_t rows, std::int64_t classes, std::byte* scratch, const Row& row) {
  const std::int64_t share = (rows + threads - 1) / threads;
  parallel_for(threads, threads, 1, [&](std::int64_t thread, std::int64_t past_thread) {
    for (; thread < past_thread; ++thread) {
      float* work = reinterpret_cast<float*>(scratch) + thread * classes;
      for (std::int64_t r = thread * share; r < std::min(rows, (thread + 1) * share); ++r) row(r, work);
    }
  });
}

int useful_threads(int threads, std::int64_t elements) { return elements < 2 * kParallelGrain ? 1 : threads; }

void check_finite(const float* loss, std::int64_t rows) {
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!std::all_of(loss, loss + rows, finite)) throw NotFinite("the loss is not finite");
}

// T: of the gradient.
template <class T>
class SoftmaxCrossEntropyKernel final : public LoopKernel {
 public:
  SoftmaxCrossEntropyKernel(const SoftmaxCrossEntropy& op, int threads)
      : op_(op), threads_(useful_threads(threads, op.rows.count * op.classes)) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const float* logits = floats_in(arguments, 0);
    const auto* labels = reinterpret_cast<const std::int32_t*>(arguments[1]);
    float* loss = floats_out(arguments, 2);
    auto* rank = reinterpret_cast<std::int32_t*>(arguments[3]);
    T* diff = op_.training ? argument<T>(arguments, 4) : nullptr;
    for_rows(threads_, op_.rows.count, op_.classes, scratch, [&](std::int64_t r, float* e) {
      const float* z = logits + r * op_.classes;
      const float maximum = largest(z, op_.classes);
      const float sum = exponentials(z, maximum, e, op_.classes);
      const double log_sum = std::log(static_cast<double>(sum));
      loss[r] = static_cast<float>(log_sum - (static_cast<double>(z[labels[r]]) - static_cast<double>(maximum)));
      rank[r] = count_before(z, op_.classes, labels[r], z[labels[r]]);
      if (diff != nullptr) write_diff(e, sum, labels[r], diff + r * op_.classes);
    });
    if (op_.training) check_finite(loss, op_.rows.count);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_ * op_.classes) * sizeof(float);
  }

 private:
  void write_diff(const float* e, float sum, std::int32_t label, T* diff) const {
    const auto batch = static_cast<float>(op_.global_batch);
    gradient(e, sum, batch, diff, op_.classes);
    diff[label] = static_cast<T>((e[label] / sum - 1.0f) / batch);
  }

  SoftmaxCrossEntropy op_;
  int threads_;
};

class SoftmaxSumsKernel final : public LoopKernel {
 public:
  SoftmaxSumsKernel(const SoftmaxSums& op, int threads)
      : op_(op), threads_(useful_threads(threads, op.rows.count * op.classes)) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const float* logits = floats_in(arguments, 0);
    const auto* labels = reinterpret_cast<const std::int32_t*>(arguments[1]);
    float* all_sums = floats_out(arguments, 2);
    for_rows(threads_, op_.rows.count, op_.classes, scratch, [&](std::int64_t r, float* e) {
      const float* z = logits + r * op_.classes;
      const std::int64_t label = labels[r] - op_.first_class;
      const float maximum = largest(z, op_.classes);
      float* sums = all_sums + r * kSoftmaxSums;
      sums[0] = maximum;
      sums[1] = exponentials(z, maximum == -std::numeric_limits<float>::infinity() ? 0 : maximum, e, op_.classes);
      sums[2] = label >= 0 && label < op_.classes ? z[label] : 0;
    });
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_ * op_.classes) * sizeof(float);
  }

 private:
  SoftmaxSums op_;
  int threads_;
};

// T: of the gradient.
template <class T>
class SoftmaxCrossEntropyPartKernel final : public LoopKernel {
 public:
  SoftmaxCrossEntropyPartKernel(const SoftmaxCrossEntropyPart& op, int threads)
      : op_(op), threads_(useful_threads(threads, op.rows.count * op.classes)) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const float* logits = floats_in(arguments, 0);
    const auto* labels = reinterpret_cast<const std::int32_t*>(arguments[1]);
    const float* sums = floats_in(arguments, 2);
    float* loss = floats_out(arguments, 3);
    auto* before = reinterpret_cast<std::int32_t*>(arguments[4]);
    T* diff = op_.training ? argument<T>(arguments, 5) : nullptr;
    for_rows(threads_, op_.rows.count, op_.classes, scratch, [&](std::int64_t r, float* e) {
      const float* z = logits + r * op_.classes;
      const std::int64_t label = labels[r] - op_.first_class;
      const auto [maximum, sum, at_label] = whole_row(sums + r * op_.parts * kSoftmaxSums);
      loss[r] = static_cast<float>(std::log(sum) - (static_cast<double>(at_label) - static_cast<double>(maximum)));
      before[r] = count_before(z, op_.classes, label, at_label);
      if (diff == nullptr) return;
      const auto divisor = static_cast<float>(sum), batch = static_cast<float>(op_.global_batch);
      exponentials(z, maximum, e, op_.classes);
      gradient(e, divisor, batch, diff + r * op_.classes, op_.classes);
      if (label >= 0 && label < op_.classes)
        diff[r * op_.classes + label] = static_cast<T>((e[label] / divisor - 1.0f) / batch);
    });
    if (op_.training) check_finite(loss, op_.rows.count);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_ * op_.classes) * sizeof(float);
  }

 private:
  struct WholeRow {
    float maximum;
    double sum;
    float at_label;
  };

  WholeRow whole_row(const float* parts) const {
    WholeRow row{parts[0], 0, 0};
    for (std::int64_t p = 0; p < op_.parts; ++p) {
      row.maximum = std::max(row.maximum, parts[p * kSoftmaxSums]);
      row.at_label += parts[p * kSoftmaxSums + 2];
    }
    for (std::int64_t p = 0; p < op_.parts; ++p) {
      const double shift = static_cast<double>(parts[p * kSoftmaxSums]) - static_cast<double>(row.maximum);
      row.sum += static_cast<double>(parts[p * kSoftmaxSums + 1]) * std::exp(shift);
    }
    return row;
  }

  SoftmaxCrossEntropyPart op_;
  int threads_;
};

class LabelRankKernel final : public LoopKernel {
 public:
  explicit LabelRankKernel(const LabelRank& op) : op_(op) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const auto* before = reinterpret_cast<const std::int32_t*>(arguments[0]);
    auto* rank = reinterpret_cast<std::int32_t*>(arguments[1]);
    for (std::int64_t r = 0; r < op_.rows.count; ++r) {
      rank[r] = std::accumulate(before + r * op_.parts, before + (r + 1) * op_.parts, 0);
    }
  }

 private:
  LabelRank op_;
};

class SoftmaxKernel final : public LoopKernel {
 public:
  SoftmaxKernel(const Softmax& op, int threads)
      : op_(op), threads_(useful_threads(threads, op.rows.count * op.classes)) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const float* logits = floats_in(arguments, 0);
    float* probabilities = floats_out(arguments, 1);
    parallel_for(threads_, op_.rows.count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float* z = logits + r * op_.classes;
        float* p = probabilities + r * op_.classes;
        divide(p, exponentials(z, largest(z, op_.classes), p, op_.classes), p, op_.classes);
      }
    });
  }

 private:
  Softmax op_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const SoftmaxCrossEntropy& op, BindContext& context) {
  return bind_typed<SoftmaxCrossEntropyKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const SoftmaxSums& op, BindContext& context) {
  return std::make_unique<SoftmaxSumsKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const SoftmaxCrossEntropyPart& op, BindContext& context) {
  return bind_typed<SoftmaxCrossEntropyPartKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const LabelRank& op, BindContext&) { return std::make_unique<LabelRankKernel>(op); }

std::unique_ptr<Kernel> bind_kernel(const Softmax& op, BindContext& context) {
  return std::make_unique<SoftmaxKernel>(op, context.threads);
}

}  // namespace hadal
