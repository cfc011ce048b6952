#pragma once
// The arguments of each operator (nn/op.h), as data: for whoever places them in memory or makes them up.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/op.h"
#include "tensor/tensor.h"

namespace hadal {

enum class Access { read, write, update };  // update: read and written in place

struct OpArgument {
  std::string name;  // as nn/op.h calls it; arrays of one kind have one name
  Access access = Access::read;
  std::int64_t elements = 0;
  DType type = DType::f32;

  std::size_t bytes() const { return static_cast<std::size_t>(elements) * size_of(type); }
};

// In the order in which a kernel gets them.
std::vector<OpArgument> arguments_of(const Op& op);

}  // namespace hadal
