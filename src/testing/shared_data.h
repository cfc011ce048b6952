#pragma once
// Files that tests use where a machine has them, and do without elsewhere.

#include <cstdlib>
#include <filesystem>
#include <string>

namespace hadal::testing {

// The folder HADAL_SHARED names (default: ../shared beside the source tree). A test that needs a file that is not there
// calls GTEST_SKIP with the file's name.
inline std::filesystem::path shared_folder() {
  const char* named = std::getenv("HADAL_SHARED");
  return named != nullptr ? std::filesystem::path(named) : std::filesystem::path(HADAL_SOURCE_DIR) / ".." / "shared";
}

}  // namespace hadal::testing
