// The sum of arrays, added from left to right and rounded after each addition.

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const Add& op, const Call& call) {
  Real* destination = call.written<Real>(static_cast<std::size_t>(op.inputs));
  for (std::int64_t i = 0; i < op.rows.count * op.row_elements; ++i) {
    Real sum = call.read<Real>(0)[i];
    for (int input = 1; input < op.inputs; ++input) sum += call.read<Real>(static_cast<std::size_t>(input))[i];
    destination[i] = sum;
  }
}

template void run<float>(const Add&, const Call&);
template void run<double>(const Add&, const Call&);

}  // namespace hadal::reference
