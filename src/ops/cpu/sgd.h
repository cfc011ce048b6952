#pragma once
// The update rule on a block of elements (nn/op.h, SgdUpdate), for kernels that have a gradient at hand.

#include <cstdint>

#include "tensor/bf16.h"

namespace hadal {

struct SgdCoefficients {
  float rate, momentum, decay;
};

// Updates weights w and velocities v (nullptr without momentum) by gradient g, and writes the new weights to `copy`
// (where that is not nullptr). Returns false, and stores nothing, where
// an element of g is not finite.
[[nodiscard]] bool sgd_block(const SgdCoefficients& by, const float* g, float* w, float* v, Bf16* copy,
                             std::int64_t count);

}  // namespace hadal
