// Clipping by the global norm, as PyTorch's clip_grad_norm_: sums of squares of pieces of the gradient, and the scale
// min(1, max_norm / (norm + 1e-6)) that follows from all of them. A norm that is not a number makes the scale one too.

#include <cmath>

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const SquaredNorms& op, const Call& call) {
  const Real* gradient = call.read<Real>(0);
  double* squares = call.written<double>(1);
  for (std::size_t piece = 0; piece < op.pieces.size(); ++piece) {
    double sum = 0;
    for (std::int64_t i = 0; i < op.pieces[piece]; ++i) sum += double{gradient[i]} * gradient[i];
    squares[piece] = sum;
    gradient += op.pieces[piece];
  }
}

template <class Real>
void run(const ClipScale& op, const Call& call) {
  const double* squares = call.read<double>(0);
  double sum = 0;
  for (std::int64_t i = 0; i < op.count; ++i) sum += squares[i];
  const double norm = std::sqrt(sum);
  const double scale = op.max_norm / (norm + 1e-6);
  *call.written<Real>(1) = static_cast<Real>(scale > 1 ? 1 : scale);
  *call.written<Real>(2) = static_cast<Real>(norm);
}

template void run<float>(const SquaredNorms&, const Call&);
template void run<double>(const SquaredNorms&, const Call&);
template void run<float>(const ClipScale&, const Call&);
template void run<double>(const ClipScale&, const Call&);

}  // namespace hadal::reference
