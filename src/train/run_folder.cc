#include "train/run_folder.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace hadal {

namespace fs = std::filesystem;

namespace {

bool is_finished(const RunFolder& folder) {
  std::ifstream file(folder.summary());
  const auto summary = nlohmann::json::parse(file, nullptr, false);
  return summary.is_object() && summary.contains("status") && summary["status"] == "done";
}

}  // namespace

void RunFolder::create() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw StorageError(path_ + ": cannot be created: " + error.message() + "; name another folder with --out");
}

std::string RunFolder::start_anew() const {
  std::error_code error;
  std::string kept;
  if (fs::exists(checkpoints(), error) && !fs::is_empty(checkpoints(), error) && !is_finished(*this)) {
    int number = 1;
    while (fs::exists(path_ + "." + std::to_string(number), error)) ++number;
    kept = path_ + "." + std::to_string(number);
    fs::rename(path_, kept, error);
    if (error) throw StorageError(path_ + ": cannot be renamed to " + kept + ": " + error.message());
  }
  create();
  // Checkpoints first: without them nothing of the earlier run can be resumed.
  for (const std::string& file : {checkpoints(), job(), plan(), metrics(), model(), summary()}) {
    fs::remove_all(file, error);
    if (error) throw StorageError(file + ": cannot be removed: " + error.message());
  }
  return kept;
}

MetricsLog::MetricsLog(const std::string& path, std::int64_t step) : path_(path) {
  std::string kept;
  std::ifstream earlier(path);
  for (std::string line; std::getline(earlier, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const bool counts = json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (counts && json["step"].get<std::int64_t>() <= step) kept += line + "\n";
  }
  write_file(path, kept);
  file_.open(path, std::ios::app);
  if (!file_) throw StorageError(path + ": cannot be opened: " + std::strerror(errno));
}

void MetricsLog::write(const nlohmann::ordered_json& line) {
  file_ << line.dump() << std::endl;
  if (!file_) throw StorageError(path_ + ": cannot be written: " + std::strerror(errno));
}

}  // namespace hadal
