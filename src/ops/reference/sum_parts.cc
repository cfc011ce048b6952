// The sum of a gradient's parts by halves, rounded after each addition: one order, whoever made the parts.

#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
Real sum_by_halves(std::span<std::byte* const> parts, std::int64_t i) {
  if (parts.size() == 1) return reinterpret_cast<const Real*>(parts[0])[i];
  const std::size_t half = (parts.size() + 1) / 2;
  return sum_by_halves<Real>(parts.first(half), i) + sum_by_halves<Real>(parts.subspan(half), i);
}

template <class Real>
void run(const SumParts& op, const Call& call) {
  const auto parts = call.arguments.first(static_cast<std::size_t>(op.parts));
  Real* sum = call.written<Real>(parts.size());
  for (std::int64_t i = 0; i < op.elements; ++i) sum[i] = sum_by_halves<Real>(parts, i) * static_cast<Real>(op.scale);
}

template float sum_by_halves<float>(std::span<std::byte* const>, std::int64_t);
template double sum_by_halves<double>(std::span<std::byte* const>, std::int64_t);
template void run<float>(const SumParts&, const Call&);
template void run<double>(const SumParts&, const Call&);

}  // namespace hadal::reference
