#include "data/file_list.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>

namespace hadal {

std::vector<std::string> list_files(const std::vector<std::string>& paths, const Position& where) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (path.find_first_of("*?[") == std::string::npos || std::filesystem::exists(path)) {
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
