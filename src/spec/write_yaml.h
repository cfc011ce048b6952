#pragma once

#include <string>

#include "spec/keys.h"

namespace hadal {

// A map as YAML for people: its keys and those of its maps on lines of their own, what is inside in braces; lists of
// maps have a line for each. read_yaml gives the same values back.
std::string write_yaml(const Json& map);

}  // namespace hadal
