#pragma once
// What docs say of the keys of files: tests hold it against the tables that files are read by.

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "spec/schema.h"

namespace hadal::testing {

inline std::vector<std::string> lines_of_doc(const std::string& name) {
  std::ifstream file(HADAL_SOURCE_DIR "/docs/" + name);
  EXPECT_TRUE(file) << name;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Cells of the rows of all tables under this heading, without the backticks of the first.
inline std::vector<std::vector<std::string>> table_rows(const std::string& first_heading, const std::string& doc) {
  std::vector<std::vector<std::string>> rows;
  bool inside = false;
  for (const std::string& line : lines_of_doc(doc)) {
    if (line.empty() || line[0] != '|') {
      inside = false;
      continue;
    }
    std::vector<std::string> cells;
    std::istringstream stream(line.substr(1));
    for (std::string cell; std::getline(stream, cell, '|');) {
      const std::size_t first = cell.find_first_not_of(' ');
      cells.push_back(first == std::string::npos ? "" : cell.substr(first, cell.find_last_not_of(' ') - first + 1));
    }
    if (inside && cells[0].front() == '`') {
      cells[0] = cells[0].substr(1, cells[0].size() - 2);
      rows.push_back(cells);
    }
    inside = inside || cells[0] == first_heading;
  }
  return rows;
}

// The first block of YAML.
inline std::string example_of_doc(const std::string& doc) {
  std::string text;
  bool inside = false;
  for (const std::string& line : lines_of_doc(doc)) {
    if (inside && line == "```") break;
    if (inside) text += line + "\n";
    inside = inside || line == "```yaml";
  }
  return text;
}

// A table of these keys, their values and defaults is in the doc, and of no others.
inline void expect_documented(const std::vector<KeyInfo>& keys, const std::string& doc) {
  std::map<std::string, KeyInfo> known;
  for (const KeyInfo& key : keys) EXPECT_TRUE(known.emplace(key.path, key).second) << key.path << " is there twice";
  std::set<std::string> documented;
  for (const auto& row : table_rows("key", doc)) {
    ASSERT_EQ(row.size(), 4u) << row[0];
    EXPECT_TRUE(documented.insert(row[0]).second) << row[0] << " is documented twice";
    const auto key = known.find(row[0]);
    if (key == known.end()) {
      ADD_FAILURE() << row[0] << " is documented, but no key";
      continue;
    }
    EXPECT_EQ(row[1], key->second.type) << row[0];
    EXPECT_EQ(row[2], key->second.fallback.empty() ? "—" : key->second.fallback) << row[0];
    EXPECT_FALSE(row[3].empty()) << row[0];
  }
  for (const auto& [path, key] : known) EXPECT_TRUE(documented.count(path)) << path << " is not documented";
}

}  // namespace hadal::testing
