// The sum of several arrays, element by element, from left to right.

#include <cstring>

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

HADAL_CLONES void add(const float* a, const float* b, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
}

class AddKernel final : public LoopKernel {
 public:
  AddKernel(const Add& op, int threads)
      : inputs_(static_cast<std::size_t>(op.inputs)), count_(op.rows.count * op.row_elements), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    float* sum = floats_out(arguments, inputs_);
    if (inputs_ == 1) {
      std::memcpy(sum, arguments[0], static_cast<std::size_t>(count_) * sizeof(float));
      return;
    }
    parallel_for(threads_, count_, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      add(floats_in(arguments, 0) + begin, floats_in(arguments, 1) + begin, sum + begin, end - begin);
      for (std::size_t i = 2; i < inputs_; ++i) {
        add(sum + begin, floats_in(arguments, i) + begin, sum + begin, end - begin);
      }
    });
  }

 private:
  std::size_t inputs_;
  std::int64_t count_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const Add& op, BindContext& context) {
  return std::make_unique<AddKernel>(op, context.threads);
}

}  // namespace hadal
