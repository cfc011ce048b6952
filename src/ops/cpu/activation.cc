// Activations: relu max(x, 0), sigmoid 1 / (1 + e^-x), tanh. Their gradients are functions of the output: y > 0,
// y (1 - y), 1 - y^2.

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// A NaN stays one.
struct Relu {
  [[gnu::always_inline]] static float value(float x) { return x <= 0.0f ? 0.0f : x; }
  [[gnu::always_inline]] static float gradient(float y, float dy) { return y <= 0.0f ? 0.0f : dy; }
};

struct Sigmoid {
  [[gnu::always_inline]] static float value(float x) { return fast_sigmoid(x); }
  [[gnu::always_inline]] static float gradient(float y, float dy) { return dy * (y * (1.0f - y)); }
};

struct Tanh {
  [[gnu::always_inline]] static float value(float x) { return fast_tanh(x); }
  [[gnu::always_inline]] static float gradient(float y, float dy) { return dy * (1.0f - y * y); }
};

// Elements of bf16 that are converted at a time.
constexpr std::int64_t kBlock = 512;

// x may be y, and dy may be dx: then the loop has one array, so that the compiler need not fear an overlap.
template <class Function>
[[gnu::always_inline]] inline void forward(const float* x, float* y, std::int64_t count) {
  if (x == y) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = Function::value(y[i]);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) y[i] = Function::value(x[i]);
}

template <class Function>
[[gnu::always_inline]] inline void forward(const Bf16* x, Bf16* y, std::int64_t count) {
  float block[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t length = std::min(kBlock, count - first);
    widen(x + first, length, block);
    forward<Function>(block, block, length);
    narrow(block, length, y + first);
  }
}

template <class Function>
[[gnu::always_inline]] inline void backward(const float* y, const float* dy, float* dx, std::int64_t count) {
  if (dy == dx) {
    for (std::int64_t i = 0; i < count; ++i) dx[i] = Function::gradient(y[i], dx[i]);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) dx[i] = Function::gradient(y[i], dy[i]);
}

template <class Function>
[[gnu::always_inline]] inline void backward(const Bf16* y, const Bf16* dy, Bf16* dx, std::int64_t count) {
  float block[kBlock], diffs[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t length = std::min(kBlock, count - first);
    widen(y + first, length, block);
    widen(dy + first, length, diffs);
    backward<Function>(block, diffs, diffs, length);
    narrow(diffs, length, dx + first);
  }
}

HADAL_CLONES void relu(const float* x, float* y, std::int64_t count) { forward<Relu>(x, y, count); }
HADAL_CLONES void relu(const Bf16* x, Bf16* y, std::int64_t count) { forward<Relu>(x, y, count); }
HADAL_CLONES void sigmoid(const float* x, float* y, std::int64_t count) { forward<Sigmoid>(x, y, count); }
HADAL_CLONES void sigmoid(const Bf16* x, Bf16* y, std::int64_t count) { forward<Sigmoid>(x, y, count); }
HADAL_CLONES void hyperbolic_tangent(const float* x, float* y, std::int64_t count) { forward<Tanh>(x, y, count); }
HADAL_CLONES void hyperbolic_tangent(const Bf16* x, Bf16* y, std::int64_t count) { forward<Tanh>(x, y, count); }

HADAL_CLONES void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count) {
  backward<Relu>(y, dy, dx, count);
}
HADAL_CLONES void relu_backward(const Bf16* y, const Bf16* dy, Bf16* dx, std::int64_t count) {
  backward<Relu>(y, dy, dx, count);
}
HADAL_CLONES void sigmoid_backward(const float* y, const float* dy, float* dx, std::int64_t count) {
  backward<Sigmoid>(y, dy, dx, count);
}
HADAL_CLONES void sigmoid_backward(const Bf16* y, const Bf16* dy, Bf16* dx, std::int64_t count) {
  backward<Sigmoid>(y, dy, dx, count);
}
HADAL_CLONES void tanh_backward(const float* y, const float* dy, float* dx, std::int64_t count) {
  backward<Tanh>(y, dy, dx, count);
}
HADAL_CLONES void tanh_backward(const Bf16* y, const Bf16* dy, Bf16* dx, std::int64_t count) {
  backward<Tanh>(y, dy, dx, count);
}

template <class T>
using Forward = void (*)(const T*, T*, std::int64_t);
template <class T>
using Backward = void (*)(const T*, const T*, T*, std::int64_t);

template <class T>
Forward<T> forward_of(ActivationKind kind) {
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

template <class T>
Backward<T> backward_of(ActivationKind kind) {
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
template <class T>
class ActivationForwardKernel final : public LoopKernel {
 public:
  ActivationForwardKernel(const ActivationForward& op, int threads)
      : function_(forward_of<T>(op.kind)),
        count_(op.rows.count * op.row_elements),
        destination_(op.in_place ? 0 : 1),
        threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const T* x = argument<T>(arguments, 0);
    T* y = argument<T>(arguments, destination_);
    parallel_for(threads_, count_, kParallelGrain,
                 [&](std::int64_t begin, std::int64_t end) { function_(x + begin, y + begin, end - begin); });
  }

 private:
  Forward<T> function_;
  std::int64_t count_;
  std::size_t destination_;
  int threads_;
};

template <class T>
class ActivationBackwardKernel final : public LoopKernel {
 public:
  ActivationBackwardKernel(const ActivationBackward& op, int threads)
      : function_(backward_of<T>(op.kind)),
        count_(op.rows.count * op.row_elements),
        diff_source_(op.in_place ? 1 : 2),
        threads_(threads) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const T* y = argument<T>(arguments, 0);
    const T* dy = argument<T>(arguments, 1);
    T* dx = argument<T>(arguments, diff_source_);
    parallel_for(threads_, count_, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      function_(y + begin, dy + begin, dx + begin, end - begin);
    });
  }

 private:
  Backward<T> function_;
  std::int64_t count_;
  std::size_t diff_source_;
  int threads_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const ActivationForward& op, BindContext& context) {
  return bind_typed<ActivationForwardKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const ActivationBackward& op, BindContext& context) {
  return bind_typed<ActivationBackwardKernel>(op, context.threads);
}

}  // namespace hadal
