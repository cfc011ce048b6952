// Activations: relu max(x, 0), sigmoid 1 / (1 + e^-x), tanh. Their gradients are functions of the output: y > 0,
// y (1 - y), 1 - y^2.

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// A NaN stays one.
HADAL_CLONES void relu(const float* __restrict x, float* __restrict y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

HADAL_CLONES void sigmoid(const float* __restrict x, float* __restrict y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = fast_sigmoid(x[i]);
}

HADAL_CLONES void hyperbolic_tangent(const float* __restrict x, float* __restrict y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = fast_tanh(x[i]);
}

HADAL_CLONES void relu_backward(const float* __restrict y, const float* __restrict dy, float* __restrict dx,
                                std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

HADAL_CLONES void sigmoid_backward(const float* __restrict y, const float* __restrict dy, float* __restrict dx,
                                   std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * (y[i] * (1.0f - y[i]));
}

HADAL_CLONES void tanh_backward(const float* __restrict y, const float* __restrict dy, float* __restrict dx,
                                std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

using Forward = void (*)(const float*, float*, std::int64_t);
using Backward = void (*)(const float*, const float*, float*, std::int64_t);

Forward forward_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::relu:
      return relu;
    case ActivationKind::sigmoid:
      return sigmoid;
    case ActivationKind::tanh:
      return hyperbolic_tangent;
  }
  return nullptr;
}

Backward backward_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::relu:
      return relu_backward;
    case ActivationKind::sigmoid:
      return sigmoid_backward;
    case ActivationKind::tanh:
      return tanh_backward;
  }
  return nullptr;
}

// An element's result depends on that element alone, so units need no test, here and in every other loop over elements.
class ActivationForwardKernel final : public LoopKernel {
 public:
  ActivationForwardKernel(const ActivationForward& op, int threads)
      : function_(forward_of(op.kind)), count_(op.rows.count * op.row_elements), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const float* x = floats_in(arguments, 0);
    float* y = floats_out(arguments, 1);
    parallel_for(threads_, count_, kParallelGrain,
                 [&](std::int64_t begin, std::int64_t end) { function_(x + begin, y + begin, end - begin); });
  }

 private:
  Forward function_;
  std::int64_t count_;
  int threads_;
};

class ActivationBackwardKernel final : public LoopKernel {
 public:
  ActivationBackwardKernel(const ActivationBackward& op, int threads)
      : function_(backward_of(op.kind)), count_(op.rows.count * op.row_elements), threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const float* y = floats_in(arguments, 0);
    const float* dy = floats_in(arguments, 1);
    float* dx = floats_out(arguments, 2);
    parallel_for(threads_, count_, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      function_(y + begin, dy + begin, dx + begin, end - begin);
    });
  }

 private:
  Backward function_;
  std::int64_t count_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const ActivationForward& op, BindContext& context) {
  return std::make_unique<ActivationForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const ActivationBackward& op, BindContext& context) {
  return std::make_unique<ActivationBackwardKernel>(op, context.threads);
}

}  // namespace hadal
