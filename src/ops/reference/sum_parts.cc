// The sum of a gradient's parts by halves, rounded after each addition: one order, whoever made the parts.

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
Real sum_by_halves(std::span<const Real* const> parts, std::int64_t i) {
  if (parts.size() == 1) return parts[0][i];
  const std::size_t half = (parts.size() + 1) / 2;
  return sum_by_halves(parts.first(half), i) + sum_by_halves(parts.subspan(half), i);
}

template <class Real>
void run(const SumParts& op, const Call& call) {
  const std::vector<const Real*> parts = call.read_first<Real>(op.parts);
  Real* sum = call.written<Real>(parts.size());
  for (std::int64_t i = 0; i < op.elements; ++i) sum[i] = sum_by_halves<Real>(parts, i);
}

template float sum_by_halves<float>(std::span<const float* const>, std::int64_t);
template double sum_by_halves<double>(std::span<const double* const>, std::int64_t);
template void run<float>(const SumParts&, const Call&);
template void run<double>(const SumParts&, const Call&);

}  // namespace hadal::reference
