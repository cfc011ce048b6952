#pragma once
// A run's folder: runs/NAME with job.yaml, plan.json, metrics.jsonl, checkpoints/, model.safetensors, summary.json.

#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "spec/job.h"

namespace hadal {

class RunFolder {
 public:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string job() const { return path_ + "/job.yaml"; }
  std::string plan() const { return path_ + "/plan.json"; }
  std::string metrics() const { return path_ + "/metrics.jsonl"; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string model() const { return path_ + "/model.safetensors"; }
  std::string summary() const { return path_ + "/summary.json"; }

  // Makes the folder where it is not there, and keeps every other process from training into it while this object
  // lives. Throws StorageError, and ConfigError where a file has its name or another process trains there.
  void lock();

  // Makes the folder, empty of an earlier run, and locks it. One that was finished is replaced, unless `keep_finished`;
  // one that was not, but has checkpoints, is kept beside it as PATH.1, PATH.2, ...: returns that name, or "". Throws
  // as lock() does.
  std::string start_anew(bool keep_finished = false);

 private:
  std::string path_;
  std::shared_ptr<void> lock_;
};

// What an earlier process chose for `parallel.split: auto`, from plan.json. None where there is none, the job does not
// ask for it, or its devices or groups are others.
std::optional<SplitChoice> stored_split(const RunFolder& folder, const JobSpec& job);

// metrics.jsonl: one JSON object a line, whole lines only even after a crash.
class MetricsLog {
 public:
  // Keeps the lines up to `step` of an earlier run and appends to them. Throws StorageError.
  MetricsLog(const std::string& path, std::int64_t step);

  void write(const nlohmann::ordered_json& line);  // throws StorageError

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace hadal
