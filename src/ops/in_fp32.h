#pragma once
// Operators in the other type of number; and those on bf16 numbers by kernels for fp32 ones: slower than a kernel of
// their own, and right.

#include <functional>
#include <memory>
#include <optional>

#include "ops/backend.h"

namespace hadal {

// `op` with all its types fp32. Equal arguments (ops/arguments.h) where it had no other.
Op in_fp32(const Op& op);

// The same operator on bf16 numbers, and writing copies where it can; nothing where it has no type.
std::optional<Op> in_bf16(const Op& op);

// Binds `op` as the kernel that `bind` makes of in_fp32(op), between copies of its bf16 arguments in scratch (by the
// kernels that `bind` makes of Convert); that kernel itself where there are none. The operator's numbers are rounded
// once, so that is what nn/op.h defines.
std::unique_ptr<Kernel> bind_in_fp32(const Op& op, const std::function<std::unique_ptr<Kernel>(const Op&)>& bind);

}  // namespace hadal
