#pragma once
// Plain loops for every operator: the truth that other backends are tested against. One thread.

#include "ops/backend.h"

namespace hadal {

std::unique_ptr<Backend> make_reference_backend();

}  // namespace hadal
