#include "data/file_list.h"

#include <glob.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/error.h"

namespace hadal {

namespace {

constexpr std::size_t kMostFiles = 1'000'000;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// What stands between braces, as a list: nothing where it is neither "first..last" nor "a,b".
std::vector<std::string> alternatives(std::string_view inside, const std::string& path, const Position& where) {
  std::vector<std::string> list;
  if (const std::size_t points = inside.find(".."); points != std::string_view::npos) {
    const std::string_view from = inside.substr(0, points), to = inside.substr(points + 2);
    const auto first = whole_number(from), last = whole_number(to);
    if (!first || !last) return {};
    if (*first > *last || *last - *first >= std::int64_t{kMostFiles}) {
      throw ConfigError(where, path + ": {" + std::string(inside) + "} must rise, over fewer than 1,000,000 files");
    }
    for (std::int64_t i = *first; i <= *last; ++i) {
      std::string number = std::to_string(i);
      if (from.size() == to.size() || from.starts_with('0')) {
        number.insert(0, from.size() - std::min(from.size(), number.size()), '0');
      }
      list.push_back(std::move(number));
    }
    return list;
  }
  if (inside.find(',') == std::string_view::npos) return {};
  for (std::size_t comma = 0; comma != std::string_view::npos;) {
    comma = inside.find(',');
    list.emplace_back(inside.substr(0, comma));
    if (comma != std::string_view::npos) inside.remove_prefix(comma + 1);
  }
  return list;
}

// The first braces vary slowest.
void expand_braces(const std::string& path, std::size_t from, const Position& where, std::vector<std::string>& paths) {
  const std::size_t open = path.find('{', from), close = path.find('}', open);
  if (open == std::string::npos || close == std::string::npos) {
    if (paths.size() >= kMostFiles) throw ConfigError(where, path + ": its braces stand for more than 1,000,000 files");
    paths.push_back(path);
    return;
  }
  const auto list = alternatives(std::string_view(path).substr(open + 1, close - open - 1), path, where);
  if (list.empty()) return expand_braces(path, open + 1, where, paths);
  for (const std::string& one : list) {
    expand_braces(path.substr(0, open) + one + path.substr(close + 1), open + one.size(), where, paths);
  }
}

}  // namespace

std::vector<std::string> list_files(const std::vector<std::string>& paths, const Position& where) {
  std::vector<std::string> files;
  std::vector<std::string> expanded;
  for (const std::string& path : paths) {
    std::error_code unknown;
    if (std::filesystem::exists(path, unknown)) {
      expanded.push_back(path);
    } else {
      expand_braces(path, 0, where, expanded);
    }
  }
  for (const std::string& path : expanded) {
    std::error_code unknown;
    if (path.find_first_of("*?[") == std::string::npos || std::filesystem::exists(path, unknown)) {
      files.push_back(path);
      continue;
    }
    glob_t found{};
    const int result = ::glob(path.c_str(), GLOB_NOSORT, nullptr, &found);
    std::vector<std::string> names(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    if (result != 0 || names.empty()) throw ConfigError(where, "no file fits the pattern " + path);
    std::sort(names.begin(), names.end());
    files.insert(files.end(), names.begin(), names.end());
  }
  return files;
}

}  // namespace hadal
