// A machine's description from outside: nothing but ConfigError may escape, and what is read must survive being
// written.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "spec/machine_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string yaml =
        hadal::to_yaml(hadal::parse_machine(std::string(reinterpret_cast<const char*>(data), size), "machine.yaml"));
    if (hadal::to_yaml(hadal::parse_machine(yaml, "again.yaml")) != yaml) std::abort();
  } catch (const hadal::ConfigError&) {
  }
  return 0;
}
