// Cross-entropy of the softmax p of logits z with a label l: -log p[l]. Its gradient by z[c] is p[c] - (c == l), here
// of the mean over the global batch.

#include <cmath>

#include "ops/reference/loops.h"
#include "ops/reference/softmax.h"

namespace hadal::reference {

namespace {

template <class Real>
std::int32_t rank_of(const Real* logits, std::int64_t classes, std::int64_t label) {
  std::int32_t before = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    before += logits[c] > logits[label] || (logits[c] == logits[label] && c < label);
  }
  return before;
}

}  // namespace

template <class Real>
void run(const SoftmaxCrossEntropy& op, const Call& call) {
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    const Real* logits = call.read<Real>(0) + n * op.classes;
    const std::int32_t label = call.read<std::int32_t>(1)[n];
    HADAL_CHECK(label >= 0 && label < op.classes);
    const SoftmaxRow softmax(logits, op.classes);
    call.written<Real>(2)[n] = static_cast<Real>(softmax.loss(logits[label]));
    call.written<std::int32_t>(3)[n] = rank_of(logits, op.classes, label);
    if (!op.training) continue;
    if (!std::isfinite(call.written<Real>(2)[n])) throw NotFinite("the loss is not finite");
    Real* diff_logits = call.written<Real>(4) + n * op.classes;
    for (std::int64_t c = 0; c < op.classes; ++c) {
      const double target = c == label ? 1 : 0;
      diff_logits[c] =
          static_cast<Real>((softmax.probability(logits[c]) - target) / static_cast<double>(op.global_batch));
    }
  }
}

template void run<float>(const SoftmaxCrossEntropy&, const Call&);
template void run<double>(const SoftmaxCrossEntropy&, const Call&);

}  // namespace hadal::reference
