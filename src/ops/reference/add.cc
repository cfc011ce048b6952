// The sum of arrays by halves, rounded after each addition.

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const Add& op, const Call& call) {
  const auto inputs = call.arguments.first(static_cast<std::size_t>(op.inputs));
  Real* destination = call.written<Real>(inputs.size());
  for (std::int64_t i = 0; i < op.rows.count * op.row_elements; ++i) destination[i] = sum_by_halves<Real>(inputs, i);
}

template void run<float>(const Add&, const Call&);
template void run<double>(const Add&, const Call&);

}  // namespace hadal::reference
