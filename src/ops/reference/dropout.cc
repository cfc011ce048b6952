// Dropout (Srivastava et al. 2014), scaled in training: y = x / (1 - p) where an element is kept, else 0. Which ones
// are kept follows from (seed, layer, step, row of the global batch, element), so it does not matter who computes which
// rows, or which elements of them.

#include "base/random.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

template <class Real>
void run(const Dropout& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  Real* destination = call.written<Real>(1);
  const RandomSequence sequence(op.seed, RandomUse::dropout, op.layer);
  const auto step = static_cast<std::uint32_t>(call.values.step);
  const double threshold = double{op.p} * 0x1p32;
  const float kept = 1 - op.p;

  for (std::int64_t r = 0; r < op.rows.count; ++r) {
    const auto row = static_cast<std::uint32_t>(op.rows.first + r);
    for (std::int64_t e = 0; e < op.row_elements; ++e) {
      const std::int64_t i = r * op.row_elements + e;
      const std::int64_t of_layer = op.first_element + e;
      const std::uint32_t number = sequence.bits(step, row, static_cast<std::uint32_t>(of_layer / 4))[of_layer % 4];
      destination[i] = number >= threshold ? source[i] / Real{kept} : Real{0};
    }
  }
}

template void run<float>(const Dropout&, const Call&);
template void run<double>(const Dropout&, const Call&);

}  // namespace hadal::reference
