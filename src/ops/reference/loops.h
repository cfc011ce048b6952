#pragma once
// The loops of the reference backend, one file for each operator, over the type of number that arrays hold: float is
// the backend (bf16 numbers are converted around it, ops/in_fp32.h), double is for tests that check gradients against
// finite differences. Sums within a convolution, a matrix
// product, a mean or a softmax are in double precision in both.

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <variant>

#include "base/error.h"
#include "device/stream.h"
#include "nn/op.h"

namespace hadal::reference {

// What an operator is run on: its arguments, in the order of nn/op.h, and the step's values.
struct Call {
  std::span<std::byte* const> arguments;
  const StepValues& values;

  template <class T>
  const T* read(std::size_t i) const {
    return written<T>(i);
  }
  template <class T>
  T* written(std::size_t i) const {
    HADAL_CHECK(i < arguments.size());
    return reinterpret_cast<T*>(arguments[i]);
  }
};

template <class Real>
void run(const ConvForward& op, const Call& call);
template <class Real>
void run(const ConvBackwardData& op, const Call& call);
template <class Real>
void run(const ConvBackwardWeights& op, const Call& call);
template <class Real>
void run(const PoolForward& op, const Call& call);
template <class Real>
void run(const PoolBackward& op, const Call& call);
template <class Real>
void run(const LrnForward& op, const Call& call);
template <class Real>
void run(const LrnBackward& op, const Call& call);
template <class Real>
void run(const ActivationForward& op, const Call& call);
template <class Real>
void run(const ActivationBackward& op, const Call& call);
template <class Real>
void run(const Dropout& op, const Call& call);
template <class Real>
void run(const FullyConnectedForward& op, const Call& call);
template <class Real>
void run(const FullyConnectedBackwardData& op, const Call& call);
template <class Real>
void run(const FullyConnectedBackwardWeights& op, const Call& call);
template <class Real>
void run(const FullyConnectedUpdate& op, const Call& call);
template <class Real>
void run(const ConcatForward& op, const Call& call);
template <class Real>
void run(const ConcatBackward& op, const Call& call);
template <class Real>
void run(const Add& op, const Call& call);
template <class Real>
void run(const SoftmaxCrossEntropy& op, const Call& call);
template <class Real>
void run(const SoftmaxSums& op, const Call& call);
template <class Real>
void run(const SoftmaxCrossEntropyPart& op, const Call& call);
template <class Real>
void run(const LabelRank& op, const Call& call);
template <class Real>
void run(const Softmax& op, const Call& call);
template <class Real>
void run(const BatchNormSums& op, const Call& call);
template <class Real>
void run(const BatchNormStatistics& op, const Call& call);
template <class Real>
void run(const BatchNormForward& op, const Call& call);
template <class Real>
void run(const BatchNormBackwardSums& op, const Call& call);
template <class Real>
void run(const BatchNormBackwardWeights& op, const Call& call);
template <class Real>
void run(const BatchNormBackwardData& op, const Call& call);
template <class Real>
void run(const SumParts& op, const Call& call);
template <class Real>
void run(const AdagradScale& op, const Call& call);
template <class Real>
void run(const Update& op, const Call& call);
template <class Real>
void run(const SquaredNorms& op, const Call& call);
template <class Real>
void run(const ClipScale& op, const Call& call);
template <class Real>
void run(const Convert& op, const Call& call);

// Whichever of these `op` is.
template <class Real>
void run_any(const Op& op, const Call& call) {
  std::visit([&](const auto& which) { run<Real>(which, call); }, op);
}

// The sum of element i of all arrays of `parts`, by halves (nn/op.h, SumParts).
template <class Real>
Real sum_by_halves(std::span<std::byte* const> parts, std::int64_t i);

// The sum of term(o) over outputs first ... first + sum of units - 1: of each unit in double precision, these by
// halves.
template <class Real, class Term>
Real sum_by_units(std::span<const std::int64_t> units, std::int64_t first, const Term& term) {
  if (units.size() == 1) {
    double sum = 0;
    for (std::int64_t o = first; o < first + units[0]; ++o) sum += term(o);
    return static_cast<Real>(sum);
  }
  const auto left = units.first((units.size() + 1) / 2);
  const std::int64_t middle = std::accumulate(left.begin(), left.end(), first);
  return sum_by_units<Real>(left, first, term) + sum_by_units<Real>(units.subspan(left.size()), middle, term);
}

// The same of all `outputs` of a product: one unit where there are none.
template <class Real, class Term>
Real sum_over_outputs(const OutputUnits& units, std::int64_t outputs, const Term& term) {
  return sum_by_units<Real>(units.empty() ? std::span(&outputs, 1) : std::span<const std::int64_t>(units), 0, term);
}

}  // namespace hadal::reference
