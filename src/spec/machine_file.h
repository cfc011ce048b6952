#pragma once
// machine.yaml as a Machine, and back. docs/machine.md is its reference.

#include <string>

#include "device/machine.h"
#include "spec/schema.h"

namespace hadal {

// Strict, as job.yaml is. Throws ConfigError at line and column: also where a name stands twice, a link leads nowhere,
// or a device or the host cannot be reached.
Machine parse_machine(const std::string& text, const std::string& file);
Machine load_machine(const std::string& path);

std::string to_yaml(const Machine& machine);

std::vector<KeyInfo> machine_keys();

}  // namespace hadal
