#pragma once
// Numbers as people read them in messages.

#include <cstdint>
#include <string>

namespace hadal {

std::string with_thousands(std::uint64_t number);  // "31,204,112"

}  // namespace hadal
