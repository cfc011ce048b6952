#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "train/checkpoint.h"

namespace hadal {

namespace fs = std::filesystem;

namespace {

bool is_finished(const RunFolder& folder) {
  std::ifstream file(folder.summary());
  const auto summary = nlohmann::json::parse(file, nullptr, false);
  if (!summary.is_object() || !summary.contains("status") || summary["status"] != "done") return false;
  // One that --max-steps cut short can go on.
  return summary.value("steps", std::int64_t{0}) >= summary.value("total_steps", std::int64_t{0});
}

}  // namespace

void RunFolder::lock() {
  check_folder(path_);
  if (fs::exists(job()) && !fs::exists(plan())) {
    throw ConfigError(path_ +
                      ": holds a job.yaml, but no run; a run would replace that: name another folder with --out");
  }
  const std::string path = path_ + "/.lock";
  for (bool same = false; !same;) {
    create_folders(path_);
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) throw StorageError(path + ": cannot be created: " + std::strerror(errno));
    // The system lets go of it when this process ends, however it ends.
    lock_ = std::shared_ptr<void>(nullptr, [descriptor](void*) { ::close(descriptor); });
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw ConfigError(path_ + ": another process trains into this folder; name another one with --out");
    }
    // Another process may have renamed the folder between the two calls.
    struct stat locked, named;
    same = ::fstat(descriptor, &locked) == 0 && ::stat(path.c_str(), &named) == 0 && locked.st_ino == named.st_ino;
  }
}

std::string RunFolder::start_anew(bool keep_finished) {
  if (!lock_) lock();
  std::error_code error;
  std::string kept;
  if (is_finished(*this) ? keep_finished : has_checkpoints(checkpoints())) {
    int number = 1;
    while (fs::exists(path_ + "." + std::to_string(number), error)) ++number;
    kept = path_ + "." + std::to_string(number);
    fs::rename(path_, kept, error);
    if (error) throw StorageError(path_ + ": cannot be renamed to " + kept + ": " + error.message());
    lock();
  }
  // Checkpoints first: without them nothing of the earlier run can be resumed.
  for (const std::string& file : {checkpoints(), job(), plan(), metrics(), model(), summary()}) {
    fs::remove_all(file, error);
    if (error) throw StorageError(file + ": cannot be removed: " + error.message());
  }
  return kept;
}

std::optional<SplitChoice> stored_split(const RunFolder& folder, const JobSpec& job) {
  if (!job.parallel.automatic_split) return std::nullopt;
  std::ifstream file(folder.plan());
  const auto plan = nlohmann::json::parse(file, nullptr, false);
  try {
    if (!plan.at("split_is_auto").get<bool>()) return std::nullopt;
    std::vector<std::string> devices;
    for (const auto& device : plan.at("devices")) devices.push_back(device.at("name").get<std::string>());
    SplitChoice choice{plan.at("split").get<std::int64_t>(), plan.at("kept_whole").get<std::vector<std::string>>()};
    if (devices != job.parallel.devices || choice.split < 1 ||
        static_cast<std::int64_t>(devices.size()) % choice.split != 0) {
      return std::nullopt;
    }
    const std::int64_t groups = static_cast<std::int64_t>(devices.size()) / choice.split;
    if (job.parallel.groups.value_or(groups) != groups || job.data.batch < groups) return std::nullopt;
    return choice;
  } catch (const nlohmann::json::exception&) {  // of an earlier version, or no plan
    return std::nullopt;
  }
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
