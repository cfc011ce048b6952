// Dropout (Srivastava et al. 2014), scaled in training: x / (1 - p) where the mask keeps an element, else 0. The mask
// follows from the element's place in the global batch, so rows are independent of each other.

#include <algorithm>

#include "base/random.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

class DropoutKernel final : public LoopKernel {
 public:
  DropoutKernel(const Dropout& op, int threads)
      : op_(op), sequence_(op.seed, RandomUse::dropout, op.layer), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues& values) override {
    const float* source = floats_in(arguments, 0);
    float* destination = floats_out(arguments, 1);
    const auto step = static_cast<std::uint32_t>(values.step);
    parallel_for(threads_, op_.rows.count, kParallelGrain / std::max<std::int64_t>(op_.row_elements, 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     run_row(source + row * op_.row_elements, destination + row * op_.row_elements, step, row);
                   }
                 });
  }

 private:
  void run_row(const float* source, float* destination, std::uint32_t step, std::int64_t row) const {
    const double threshold = static_cast<double>(op_.p) * 0x1p32;
    const float kept = 1.0f - op_.p;
    const auto global_row = static_cast<std::uint32_t>(op_.rows.first + row);
    for (std::int64_t e = 0; e < op_.row_elements; e += 4) {
      const PhiloxCounter numbers = sequence_.bits(step, global_row, static_cast<std::uint32_t>(e / 4));
      const std::int64_t end = std::min<std::int64_t>(4, op_.row_elements - e);
      for (std::int64_t i = 0; i < end; ++i) {
        destination[e + i] = numbers[static_cast<std::size_t>(i)] >= threshold ? source[e + i] / kept : 0.0f;
      }
    }
  }

  Dropout op_;
  RandomSequence sequence_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const Dropout& op, BindContext& context) {
  return std::make_unique<DropoutKernel>(op, context.threads);
}

}  // namespace hadal
