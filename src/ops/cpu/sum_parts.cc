// Sums of the parts of a gradient, by halves: sum(0..n) = sum(0..ceil(n/2)) + sum(ceil(n/2)..n). The order is a
// function of the number of parts alone, and each element is summed by itself.

#include <algorithm>
#include <bit>
#include <cstring>

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/sum_tree.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

HADAL_CLONES void scale_by(float factor, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] = sum[i] * factor;
}

HADAL_CLONES void add(const float* a, const float* b, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
}

class SumPartsKernel final : public LoopKernel {
 public:
  SumPartsKernel(const SumParts& op, int threads) : op_(op), threads_(threads) {}

  // Blocks of one thread follow each other; each thread has levels of its own in the scratch.
  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const auto parts = arguments.first(static_cast<std::size_t>(op_.parts));
    float* sum = floats_out(arguments, parts.size());
    const std::int64_t share = (op_.elements + threads_ - 1) / threads_;
    parallel_for(threads_, threads_, 1, [&](std::int64_t thread, std::int64_t past_thread) {
      for (; thread < past_thread; ++thread) {
        float* levels =
            reinterpret_cast<float*>(scratch) + static_cast<std::size_t>(thread) * sum_tree_floats(op_.parts);
        const std::int64_t end = std::min(op_.elements, (thread + 1) * share);
        for (std::int64_t first = thread * share; first < end; first += kSumBlock) {
          const std::int64_t count = std::min(kSumBlock, end - first);
          std::memcpy(sum + first, sum_block(parts, first, count, levels),
                      static_cast<std::size_t>(count) * sizeof(float));
          if (op_.scale != 1) scale_by(op_.scale, sum + first, count);
        }
      }
    });
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(threads_) * sum_tree_floats(op_.parts) * sizeof(float);
  }

 private:
  SumParts op_;
  int threads_;
};

}  // namespace

std::size_t sum_tree_floats(int parts) {
  return static_cast<std::size_t>(kSumBlock) * static_cast<std::size_t>(std::bit_width(static_cast<unsigned>(parts)));
}

const float* sum_block(std::span<std::byte* const> parts, std::int64_t first, std::int64_t count, float* levels) {
  if (parts.size() == 1) return floats_in(parts, 0) + first;
  const std::size_t half = (parts.size() + 1) / 2;
  // The left sum stays in the first level while the right one works in those after it.
  const float* left = sum_block(parts.first(half), first, count, levels);
  const float* right = sum_block(parts.subspan(half), first, count, levels + kSumBlock);
  add(left, right, levels, count);
  return levels;
}

std::unique_ptr<Kernel> bind_kernel(const SumParts& op, BindContext& context) {
  return std::make_unique<SumPartsKernel>(op, op.elements < 2 * kParallelGrain ? 1 : context.threads);
}

}  // namespace hadal
