// The update of a parameter from the parts of its gradient.

#include "ops/reference/loops.h"
#include "ops/reference/sgd.h"
#include "tensor/bf16.h"

namespace hadal::reference {

template <class Real>
void run(const SgdUpdate& op, const Call& call) {
  const auto parts = call.arguments.first(static_cast<std::size_t>(op.parts));
  std::size_t next = parts.size();
  const Real* scale = op.scaled ? call.read<Real>(next++) : nullptr;
  Real* w = call.written<Real>(next++);
  Real* v = op.momentum != 0 ? call.written<Real>(next++) : nullptr;
  Bf16* copy = op.copies ? call.written<Bf16>(next) : nullptr;
  const SgdCoefficients<Real> by{call.values.rate, op.momentum, op.weight_decay};
  for (std::int64_t i = 0; i < op.elements; ++i) {
    Real g = sum_by_halves<Real>(parts, i);
    if (scale != nullptr) g = *scale * g;
    sgd_step(by, g, w[i], v == nullptr ? nullptr : v + i);
    if (copy != nullptr) copy[i] = Bf16(static_cast<float>(w[i]));
  }
}

template void run<float>(const SgdUpdate&, const Call&);
template void run<double>(const SgdUpdate&, const Call&);

}  // namespace hadal::reference
