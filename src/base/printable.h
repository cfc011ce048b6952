#pragma once

#include <string>
#include <string_view>

namespace hadal {

// The text with each control character as \xNN: a name that a file holds cannot end a line or steer a terminal then.
std::string printable(std::string_view text);

}  // namespace hadal
