// Gradients of a device's rows by that device's own sums of squares.

#include <cmath>

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const AdagradScale& op, const Call& call) {
  std::size_t next = 0;
  const Real* w = op.rule.weight_decay > 0 ? call.read<Real>(next++) : nullptr;
  Real* gradient = call.written<Real>(next++);
  Real* squares = call.written<Real>(next);
  const auto share = static_cast<Real>(op.share), decay = static_cast<Real>(op.rule.weight_decay),
             epsilon = static_cast<Real>(op.rule.epsilon);
  for (std::int64_t i = 0; i < op.elements; ++i) {
    Real e = gradient[i] / share;
    if (w != nullptr) e = e + decay * w[i];
    squares[i] = squares[i] + e * e;
    if (!std::isfinite(squares[i])) throw NotFinite("the gradient is not finite, or too large to be squared");
    gradient[i] = share * (e / (std::sqrt(squares[i]) + epsilon));
  }
}

template void run<float>(const AdagradScale&, const Call&);
template void run<double>(const AdagradScale&, const Call&);

}  // namespace hadal::reference
