// Dropout (Srivastava et al. 2014), scaled in training: x / (1 - p) where the mask keeps an element, else 0. The mask
// follows from the element's place in the global batch, so rows are independent of each other.

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// Counters that are drawn side by side.
constexpr std::int64_t kLanes = 16;

struct Mask {
  PhiloxKey key;
  std::uint32_t index, step, smallest;  // the smallest number that keeps its element
  float kept;                           // 1 - p
};

// numbers[i]: that of element begin + i of the layer, begin being a multiple of 4.
[[gnu::always_inline]] inline void draw(const Mask& mask, std::uint32_t row, std::int64_t begin,
                                        std::uint32_t (&numbers)[4 * kLanes]) {
  std::uint32_t lanes[4][kLanes];
  const auto first = static_cast<std::uint32_t>(begin / 4);
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    std::uint32_t c0 = mask.step, c1 = row, c2 = first + lane, c3 = mask.index;
    philox_rounds(c0, c1, c2, c3, mask.key);
    lanes[0][lane] = c0;
    lanes[1][lane] = c1;
    lanes[2][lane] = c2;
    lanes[3][lane] = c3;
  }
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    for (std::int64_t i = 0; i < 4; ++i) numbers[4 * lane + i] = lanes[i][lane];
  }
}

// Elements first ... first + count - 1 of the layer, at most as many as one draw from the multiple of 4 below has.
[[gnu::always_inline]] inline void drop(const Mask& mask, std::uint32_t row, std::int64_t first, std::int64_t count,
                                        const float* __restrict source, float* __restrict destination) {
  std::uint32_t drawn[4 * kLanes];
  draw(mask, row, first, drawn);
  const std::uint32_t* __restrict numbers = drawn + first % 4;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = source[i] / mask.kept;
    destination[i] = numbers[i] >= mask.smallest ? value : 0.0f;
  }
}

// The elements at `begin` of a row that one draw has numbers for; the layer's element there is `first`.
[[gnu::always_inline]] inline std::int64_t drawn_from(std::int64_t first, std::int64_t begin, std::int64_t elements) {
  return std::min(4 * kLanes - first % 4, elements - begin);
}

HADAL_CLONES void drop_row(const Mask& mask, std::uint32_t row, std::int64_t first, std::int64_t elements,
                           const float* source, float* destination) {
  for (std::int64_t begin = 0, count = 0; begin < elements; begin += count) {
    count = drawn_from(first + begin, begin, elements);
    drop(mask, row, first + begin, count, source + begin, destination + begin);
  }
}
HADAL_CLONES void drop_row(const Mask& mask, std::uint32_t row, std::int64_t first, std::int64_t elements,
                           const Bf16* source, Bf16* destination) {
  float from[4 * kLanes], to[4 * kLanes];
  for (std::int64_t begin = 0, count = 0; begin < elements; begin += count) {
    count = drawn_from(first + begin, begin, elements);
    widen(source + begin, count, from);
    drop(mask, row, first + begin, count, from, to);
    narrow(to, count, destination + begin);
  }
}

template <class T>
class DropoutKernel final : public LoopKernel {
 public:
  DropoutKernel(const Dropout& op, int threads)
      : op_(op), sequence_(op.seed, RandomUse::dropout, op.layer), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues& values) override {
    const T* source = argument<T>(arguments, 0);
    T* destination = argument<T>(arguments, 1);
    // An element is kept where its number is at least p 2^32.
    const Mask mask{sequence_.key(), sequence_.index(), static_cast<std::uint32_t>(values.step),
                    static_cast<std::uint32_t>(std::ceil(static_cast<double>(op_.p) * 0x1p32)), 1.0f - op_.p};
    parallel_for(threads_, op_.rows.count, kParallelGrain / std::max<std::int64_t>(op_.row_elements, 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     drop_row(mask, static_cast<std::uint32_t>(op_.rows.first + row), op_.first_element,
                              op_.row_elements, source + row * op_.row_elements, destination + row * op_.row_elements);
                   }
                 });
  }

 private:
  Dropout op_;
  RandomSequence sequence_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const Dropout& op, BindContext& context) {
  return bind_typed<DropoutKernel>(op, context.threads);
}

}  // namespace hadal
