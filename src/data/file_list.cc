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

// "first..last", if it is that: nothing where it is not.
std::vector<std::string> numbers(std::string_view inside, const std::string& path, const Position& where) {
  std::vector<std::string> list;
  const std::size_t points = inside.find("..");
  if (points == std::string_view::npos) return {};
  const std::string_view from = inside.substr(0, points);
  const auto first = whole_number(from), last = whole_number(inside.substr(points + 2));
  if (!first || !last) return {};
  if (*first > *last || *last - *first >= std::int64_t{kMostFiles}) {
    throw ConfigError(where, path + ": {" + std::string(inside) + "} must rise, over fewer than 1,000,000 files");
  }
  for (std::int64_t i = *first; i <= *last; ++i) {
    std::string number = std::to_string(i);
    if (2 * from.size() + 2 == inside.size() || from.starts_with('0')) {
      number.insert(0, from.size() - std::min(from.size(), number.size()), '0');
    }
    list.push_back(std::move(number));
  }
  return list;
}

// "a,b" as a list, whose parts may hold braces: nothing where there is no comma.
std::vector<std::string> words(std::string_view inside) {
  std::vector<std::string> list(1);
  int depth = 0;
  for (const char c : inside) {
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    if (c == ',' && depth == 0) {
      list.emplace_back();
    } else {
      list.back() += c;
    }
  }
  return list.size() > 1 ? list : std::vector<std::string>{};
}

// Of the brace that opens there, or npos.
std::size_t closing_brace(std::string_view path, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < path.size(); ++i) {
    if (path[i] == '{') ++depth;
    if (path[i] == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

// The first braces vary slowest.
void expand_braces(const std::string& path, std::size_t from, const Position& where, std::vector<std::string>& paths) {
  const std::size_t open = path.find('{', from);
  if (open == std::string::npos) {
    if (paths.size() >= kMostFiles) throw ConfigError(where, path + ": its braces stand for more than 1,000,000 files");
    paths.push_back(path);
    return;
  }
  std::vector<std::string> list;
  const std::size_t close = closing_brace(path, open);
  if (close != std::string::npos) {
    const std::string_view inside = std::string_view(path).substr(open + 1, close - open - 1);
    list = numbers(inside, path, where);
    if (list.empty()) list = words(inside);
  }
  if (list.empty()) return expand_braces(path, open + 1, where, paths);
  for (const std::string& one : list) {
    expand_braces(path.substr(0, open) + one + path.substr(close + 1), open, where, paths);
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
