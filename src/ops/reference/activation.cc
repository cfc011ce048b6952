// Activations, element by element, and their derivatives as functions of the result y:
//
//   relu     y = max(x, 0)            y' = 1 where y > 0, else 0
//   sigmoid  y = 1 / (1 + exp(-x))    y' = y (1 - y)
//   tanh     y = tanh x               y' = 1 - y^2
//
// A NaN stays a NaN.

#include <cmath>

#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

double activate(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::relu:
      return x < 0 ? 0 : x;
    case ActivationKind::sigmoid:
      return 1 / (1 + std::exp(-x));
    case ActivationKind::tanh:
      return std::tanh(x);
  }
  HADAL_CHECK(!"an activation");
  return 0;
}

double derivative(ActivationKind kind, double y) {
  switch (kind) {
    case ActivationKind::relu:
      return y <= 0 ? 0 : 1;
    case ActivationKind::sigmoid:
      return y * (1 - y);
    case ActivationKind::tanh:
      return 1 - y * y;
  }
  HADAL_CHECK(!"an activation");
  return 0;
}

}  // namespace

template <class Real>
void run(const ActivationForward& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  Real* destination = call.written<Real>(op.in_place ? 0 : 1);
  for (std::int64_t i = 0; i < op.rows.count * op.row_elements; ++i) {
    destination[i] = static_cast<Real>(activate(op.kind, source[i]));
  }
}

template <class Real>
void run(const ActivationBackward& op, const Call& call) {
  const Real* destination = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* diff_source = call.written<Real>(op.in_place ? 1 : 2);
  for (std::int64_t i = 0; i < op.rows.count * op.row_elements; ++i) {
    diff_source[i] = static_cast<Real>(diff_destination[i] * derivative(op.kind, destination[i]));
  }
}

template void run<float>(const ActivationForward&, const Call&);
template void run<double>(const ActivationForward&, const Call&);
template void run<float>(const ActivationBackward&, const Call&);
template void run<double>(const ActivationBackward&, const Call&);

}  // namespace hadal::reference
