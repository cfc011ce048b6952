// Softmax of each row: exp(z[c]) over the sum of exp(z) of all classes.

#include "ops/reference/softmax.h"

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const Softmax& op, const Call& call) {
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    const Real* logits = call.read<Real>(0) + n * op.classes;
    Real* probabilities = call.written<Real>(1) + n * op.classes;
    const SoftmaxRow softmax(logits, op.classes);
    for (std::int64_t c = 0; c < op.classes; ++c) {
      probabilities[c] = static_cast<Real>(softmax.probability(logits[c]));
    }
  }
}

template void run<float>(const Softmax&, const Call&);
template void run<double>(const Softmax&, const Call&);

}  // namespace hadal::reference
