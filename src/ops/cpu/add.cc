// The sum of several arrays, element by element, from left to right.

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// Elements whose sums are in the first-level cache while inputs are added.
constexpr std::int64_t kBlock = 1024;

template <class T>
[[gnu::always_inline]] inline void add_to(float* sum, const T* numbers, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += static_cast<float>(numbers[i]);
}

// sum[i] = inputs[0][i] + inputs[1][i] + ... from `first` on.
template <class T>
[[gnu::always_inline]] inline void add_block(std::span<std::byte* const> inputs, std::int64_t first, std::int64_t count,
                                             T* sum) {
  float block[kBlock];
  const T* begin = argument<T>(inputs, 0) + first;
  for (std::int64_t i = 0; i < count; ++i) block[i] = static_cast<float>(begin[i]);
  for (std::size_t input = 1; input < inputs.size(); ++input) add_to(block, argument<T>(inputs, input) + first, count);
  for (std::int64_t i = 0; i < count; ++i) sum[first + i] = static_cast<T>(block[i]);
}

HADAL_CLONES void add(std::span<std::byte* const> inputs, std::int64_t first, std::int64_t count, float* sum) {
  add_block(inputs, first, count, sum);
}
HADAL_CLONES void add(std::span<std::byte* const> inputs, std::int64_t first, std::int64_t count, Bf16* sum) {
  add_block(inputs, first, count, sum);
}

template <class T>
class AddKernel final : public LoopKernel {
 public:
  AddKernel(const Add& op, int threads)
      : inputs_(static_cast<std::size_t>(op.inputs)), count_(op.rows.count * op.row_elements), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    T* sum = argument<T>(arguments, inputs_);
    parallel_for(threads_, count_, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin; first < end; first += kBlock) {
        add(arguments.first(inputs_), first, std::min(kBlock, end - first), sum);
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
  return bind_typed<AddKernel>(op, context.threads);
}

}  // namespace hadal
