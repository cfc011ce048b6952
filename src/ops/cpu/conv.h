#pragma once
// Ways to compute a convolution and its gradients beside oneDNN's primitives.

#include <memory>

#include "nn/op.h"
#include "ops/backend.h"

namespace hadal {

// Whether patches are faster: where channels fill the registers of direct kernels badly (LeNet's 20 and 50 of 24 and
// 56, or 32 and 64), and there are no groups and no dilation. A function of the shape and the instruction set.
bool prefers_patches(const ConvShape& shape);

// Rows are one unit for the weights; for the data each sample is computed by itself in matrix products of fixed shape.
std::unique_ptr<Kernel> bind_patches(const ConvBackwardData& op, int threads);
std::unique_ptr<Kernel> bind_patches(const ConvBackwardWeights& op, int threads);

// Null where there is none, or where it would be slow: it is for bf16 on processors with instructions for it, kernels
// larger than a pixel without dilation, and channels that fill its registers. Rows are one unit.
std::unique_ptr<Kernel> bind_pairs(const ConvBackwardWeights& op, int threads);

// Null where there is none: it is for bf16 on processors with instructions for it, up to 4 channels, lines of at
// least 8 pixels, and no dilation. Each sample is computed by itself. Where kernel.width * channels is odd, the number
// after a line of the window is multiplied by zero: infinity or NaN there makes NaN, as it makes NaN of the next
// window.
std::unique_ptr<Kernel> bind_few_channels(const ConvForward& op, int threads);

// Null where there is none, or where it would be slow: it is for processors with AVX-512, for bf16 with instructions
// for it, kernels with sides of 3 or 5, stride 1 and no dilation, and channels of a group in 16s. Rows are one unit for
// the weights; for the data each sample is computed by itself. An infinity or NaN makes NaN of all numbers of its
// tiles, or of its weight's channel.
std::unique_ptr<Kernel> bind_winograd(const ConvForward& op, int threads);
std::unique_ptr<Kernel> bind_winograd(const ConvBackwardData& op, int threads);
std::unique_ptr<Kernel> bind_winograd(const ConvBackwardWeights& op, int threads);

}  // namespace hadal
