#pragma once
// What other programs computed, for tests to compare with: src/testing/fixtures, written by
// tools/make_pytorch_fixtures.py.

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace hadal::testing {

inline nlohmann::json read_fixture(const std::string& name) {
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/src/testing/fixtures/" + name;
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot open it");
  return nlohmann::json::parse(file);
}

}  // namespace hadal::testing
