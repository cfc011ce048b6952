// Between fp32 and bf16.

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

HADAL_CLONES void convert(const float* from, Bf16* to, std::int64_t count) { narrow(from, count, to); }
HADAL_CLONES void convert(const Bf16* from, float* to, std::int64_t count) { widen(from, count, to); }

template <class From, class To>
class ConvertKernel final : public LoopKernel {
 public:
  ConvertKernel(const Convert& op, int threads) : count_(op.elements), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const From* from = argument<From>(arguments, 0);
    To* to = argument<To>(arguments, 1);
    parallel_for(threads_, count_, kParallelGrain,
                 [&](std::int64_t begin, std::int64_t end) { convert(from + begin, to + begin, end - begin); });
  }

 private:
  std::int64_t count_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const Convert& op, BindContext& context) {
  if (op.to == DType::bf16) return std::make_unique<ConvertKernel<float, Bf16>>(op, context.threads);
  return std::make_unique<ConvertKernel<Bf16, float>>(op, context.threads);
}

}  // namespace hadal
