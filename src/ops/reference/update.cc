// The update of a parameter from the parts of its gradient.

#include "ops/reference/loops.h"
#include "ops/reference/update_step.h"
#include "tensor/bf16.h"

namespace hadal::reference {

template <class Real>
void run(const Update& op, const Call& call) {
  const auto parts = call.arguments.first(static_cast<std::size_t>(op.parts));
  std::size_t next = parts.size();
  const Real* scale = op.scaled ? call.read<Real>(next++) : nullptr;
  Real* w = call.written<Real>(next++);
  std::array<Real*, 2> states{};
  for (std::size_t s = 0; s < op.rule.state_count(); ++s) states[s] = call.written<Real>(next++);
  Bf16* copy = op.copies ? call.written<Bf16>(next) : nullptr;
  const UpdateStep<Real> update(op.rule, call.values.rate, call.values.step);
  for (std::int64_t i = 0; i < op.elements; ++i) {
    Real g = sum_by_halves<Real>(parts, i);
    if (scale != nullptr) g = *scale * g;
    update(g, w[i], states);
    if (copy != nullptr) copy[i] = Bf16(static_cast<float>(w[i]));
    for (Real*& state : states) state += state != nullptr ? 1 : 0;
  }
}

template void run<float>(const Update&, const Call&);
template void run<double>(const Update&, const Call&);

}  // namespace hadal::reference
