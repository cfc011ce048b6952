// Stochastic gradient descent with momentum and weight decay, as PyTorch's SGD:
//
//   g = scale * (sum of the gradient's parts) + decay * w;   v = momentum * v + g;   w = w - rate * v
//
// Rounded after each operation: this order is the result, not an approximation of one.

#include <cmath>

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const SgdUpdate& op, const Call& call) {
  const auto parts = call.arguments.first(static_cast<std::size_t>(op.parts));
  std::size_t next = parts.size();
  const Real* scale = op.scaled ? call.read<Real>(next++) : nullptr;
  Real* w = call.written<Real>(next++);
  Real* v = op.momentum != 0 ? call.written<Real>(next) : nullptr;
  const Real rate = call.values.rate, decay = op.weight_decay, momentum = op.momentum;

  for (std::int64_t i = 0; i < op.elements; ++i) {
    Real g = sum_by_halves<Real>(parts, i);
    if (scale != nullptr) g = *scale * g;
    if (!std::isfinite(g)) throw NotFinite("the gradient is not finite");
    g = g + decay * w[i];
    if (v != nullptr) {
      g = momentum * v[i] + g;
      v[i] = g;
    }
    w[i] = w[i] - rate * g;
  }
}

template void run<float>(const SgdUpdate&, const Call&);
template void run<double>(const SgdUpdate&, const Call&);

}  // namespace hadal::reference
