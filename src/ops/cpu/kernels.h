#pragma once
// The kernels of this backend: one function for each operator, each in the file of its operator. A function gives
// nullptr where it has no kernel for bf16 numbers; they are then converted around the one for fp32.

#include <memory>
#include <span>

#include "nn/op.h"
#include "ops/backend.h"
#include "ops/cpu/units.h"
#include "tensor/bf16.h"

namespace hadal {

struct BindContext {
  int threads = 1;  // 1 for an operator with units
  SelfTests& self_tests;
};

std::unique_ptr<Kernel> bind_kernel(const ConvForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ConvBackwardData& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ConvBackwardWeights& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const PoolForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const PoolBackward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const LrnForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const LrnBackward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormSums& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormStatistics& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardSums& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardWeights& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const BatchNormBackwardData& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ActivationForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ActivationBackward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const Dropout& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const FullyConnectedForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardData& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardWeights& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const FullyConnectedUpdate& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ConcatForward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ConcatBackward& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const Add& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const SoftmaxCrossEntropy& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const SoftmaxSums& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const SoftmaxCrossEntropyPart& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const LabelRank& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const Softmax& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const SumParts& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const AdagradScale& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const Update& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const SquaredNorms& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const ClipScale& op, BindContext& context);
std::unique_ptr<Kernel> bind_kernel(const Convert& op, BindContext& context);

// A kernel of the operator's type of number.
template <template <class> class KernelOf, class OpType>
std::unique_ptr<Kernel> bind_typed(const OpType& op, int threads) {
  if (op.type == DType::bf16) return std::make_unique<KernelOf<Bf16>>(op, threads);
  return std::make_unique<KernelOf<float>>(op, threads);
}

// A kernel of own loops.
class LoopKernel : public Kernel {
 public:
  std::string implementation() const override { return "loops"; }
};

template <class T>
T* argument(std::span<std::byte* const> arguments, std::size_t i) {
  return reinterpret_cast<T*>(arguments[i]);
}
inline const float* floats_in(std::span<std::byte* const> arguments, std::size_t i) {
  return reinterpret_cast<const float*>(arguments[i]);
}
inline float* floats_out(std::span<std::byte* const> arguments, std::size_t i) {
  return reinterpret_cast<float*>(arguments[i]);
}

}  // namespace hadal
