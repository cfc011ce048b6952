#include "base/error.h"

namespace hadal {

std::string Position::to_string() const {
  if (line == 0) return file;
  return file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

namespace {

std::string located(const std::string& where, const std::string& message) {
  return where.empty() ? message : where + ": " + message;
}

}  // namespace

ConfigError::ConfigError(const Position& where, const std::string& message)
    : Error(2, located(where.to_string(), message)) {}

DataError::DataError(const std::string& file, std::uint64_t offset, const std::string& message)
    : Error(3, file + ": at byte " + std::to_string(offset) + ": " + message) {}

}  // namespace hadal
