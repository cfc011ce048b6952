// Cross-entropy of a softmax whose classes are divided: over all classes the maximum M is the largest of the parts'
// maxima m, and the sum of exp(z - M) adds each part's sum times exp(m - M).

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const SoftmaxSums& op, const Call& call) {
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    const Real* logits = call.read<Real>(0) + n * op.classes;
    const std::int64_t label = call.read<std::int32_t>(1)[n] - op.first_class;
    Real maximum = -std::numeric_limits<Real>::infinity();
    for (std::int64_t c = 0; c < op.classes; ++c) maximum = logits[c] > maximum ? logits[c] : maximum;
    const double origin = std::isinf(maximum) && maximum < 0 ? 0 : static_cast<double>(maximum);
    double sum = 0;
    for (std::int64_t c = 0; c < op.classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - origin);
    Real* sums = call.written<Real>(2) + n * kSoftmaxSums;
    sums[0] = maximum;
    sums[1] = static_cast<Real>(sum);
    sums[2] = label >= 0 && label < op.classes ? logits[label] : 0;
  }
}

template <class Real>
void run(const SoftmaxCrossEntropyPart& op, const Call& call) {
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    const Real* logits = call.read<Real>(0) + n * op.classes;
    const std::int64_t label = call.read<std::int32_t>(1)[n] - op.first_class;
    const Real* sums = call.read<Real>(2) + n * op.parts * kSoftmaxSums;
    double maximum = static_cast<double>(sums[0]), sum = 0;
    Real at_label = 0;
    for (std::int64_t p = 0; p < op.parts; ++p) {
      maximum = std::max(maximum, static_cast<double>(sums[p * kSoftmaxSums]));
      at_label += sums[p * kSoftmaxSums + 2];
    }
    for (std::int64_t p = 0; p < op.parts; ++p) {
      sum += static_cast<double>(sums[p * kSoftmaxSums + 1]) *
             std::exp(static_cast<double>(sums[p * kSoftmaxSums]) - maximum);
    }
    call.written<Real>(3)[n] = static_cast<Real>(std::log(sum) - (static_cast<double>(at_label) - maximum));
    std::int32_t before = 0;
    for (std::int64_t c = 0; c < op.classes; ++c) {
      before += logits[c] > at_label || (logits[c] == at_label && c < label);
    }
    call.written<std::int32_t>(4)[n] = before;
    if (!op.training) continue;
    if (!std::isfinite(call.written<Real>(3)[n])) throw NotFinite("the loss is not finite");
    Real* diff_logits = call.written<Real>(5) + n * op.classes;
    for (std::int64_t c = 0; c < op.classes; ++c) {
      const double probability = std::exp(static_cast<double>(logits[c]) - maximum) / sum;
      diff_logits[c] = static_cast<Real>((probability - (c == label ? 1 : 0)) / static_cast<double>(op.global_batch));
    }
  }
}

template <class Real>
void run(const LabelRank& op, const Call& call) {
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    const std::int32_t* before = call.read<std::int32_t>(0) + n * op.parts;
    call.written<std::int32_t>(1)[n] = std::accumulate(before, before + op.parts, 0);
  }
}

template void run<float>(const SoftmaxSums&, const Call&);
template void run<double>(const SoftmaxSums&, const Call&);
template void run<float>(const SoftmaxCrossEntropyPart&, const Call&);
template void run<double>(const SoftmaxCrossEntropyPart&, const Call&);
template void run<float>(const LabelRank&, const Call&);
template void run<double>(const LabelRank&, const Call&);

}  // namespace hadal::reference
