#include "speech/run_files.h"

#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace hadal {

namespace fs = std::filesystem;

bool is_there(const std::string& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::none) throw StorageError(path + ": cannot be read: " + error.message());
  return type != fs::file_type::not_found;
}

void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw StorageError(path + ": cannot be removed: " + error.message());
}

void copy_file(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) throw StorageError(from + ": cannot be copied to " + to + ": " + error.message());
}

}  // namespace hadal
