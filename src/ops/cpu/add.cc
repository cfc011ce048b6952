// The sum of several arrays, element by element, by halves.

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// Elements whose sums are in the first-level cache while inputs are added.
constexpr std::int64_t kBlock = 1024;

template <class T>
[[gnu::always_inline]] inline void convert(const T* numbers, std::int64_t count, float* floats) {
  for (std::int64_t i = 0; i < count; ++i) floats[i] = static_cast<float>(numbers[i]);
}
template <class T>
[[gnu::always_inline]] inline void add_to(float* sum, const T* numbers, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += static_cast<float>(numbers[i]);
}
template <class T>
[[gnu::always_inline]] inline void round(const float* sum, std::int64_t count, T* rounded) {
  for (std::int64_t i = 0; i < count; ++i) rounded[i] = static_cast<T>(sum[i]);
}

HADAL_CLONES void read(const float* numbers, std::int64_t count, float* floats) { convert(numbers, count, floats); }
HADAL_CLONES void read(const Bf16* numbers, std::int64_t count, float* floats) { convert(numbers, count, floats); }
HADAL_CLONES void add(float* sum, const float* numbers, std::int64_t count) { add_to(sum, numbers, count); }
HADAL_CLONES void add(float* sum, const Bf16* numbers, std::int64_t count) { add_to(sum, numbers, count); }
HADAL_CLONES void write(const float* sum, std::int64_t count, float* to) { round(sum, count, to); }
HADAL_CLONES void write(const float* sum, std::int64_t count, Bf16* to) { round(sum, count, to); }

// sum[i] = the inputs' elements first + i, added up by halves.
template <class T>
void sum_inputs(std::span<std::byte* const> inputs, std::int64_t first, std::int64_t count, float* sum) {
  if (inputs.size() == 1) {
    read(argument<T>(inputs, 0) + first, count, sum);
    return;
  }
  const std::size_t half = (inputs.size() + 1) / 2;
  sum_inputs<T>(inputs.first(half), first, count, sum);
  if (inputs.size() - half == 1) {
    add(sum, argument<T>(inputs, half) + first, count);
    return;
  }
  float others[kBlock];
  sum_inputs<T>(inputs.subspan(half), first, count, others);
  add(sum, others, count);
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
        float block[kBlock];
        const std::int64_t elements = std::min(kBlock, end - first);
        sum_inputs<T>(arguments.first(inputs_), first, elements, block);
        write(block, elements, sum + first);
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
