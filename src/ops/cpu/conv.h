#pragma once
// Two ways to compute a convolution's gradients: a primitive of oneDNN, and matrix products of patches.

#include <memory>

#include "nn/op.h"
#include "ops/backend.h"

namespace hadal {

// Whether patches are faster: where channels fill the registers of direct kernels badly (LeNet's 20 and 50 of 24 and
// 56, or 32 and 64), and there are no groups. A function of the shape and the instruction set.
bool prefers_patches(const ConvShape& shape);

// Rows are one unit for the weights; for the data each sample is computed by itself in matrix products of fixed shape.
std::unique_ptr<Kernel> bind_patches(const ConvBackwardData& op, int threads);
std::unique_ptr<Kernel> bind_patches(const ConvBackwardWeights& op, int threads);

}  // namespace hadal
