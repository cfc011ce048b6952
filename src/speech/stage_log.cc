#include "speech/stage_log.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "speech/data_folder.h"
#include "speech/run_files.h"

namespace hadal {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLogLimit = 1 << 20, kTableLimit = std::uint64_t{1} << 31;  // bytes

// Size and time of a file, where there is one.
std::string state_of(const fs::path& path) {
  std::error_code none;
  const auto size = fs::file_size(path, none);
  if (none) return "none";
  return std::to_string(size) + " " + std::to_string(fs::last_write_time(path, none).time_since_epoch().count());
}

}  // namespace

StageLog::StageLog(std::string file) : file_(std::move(file)) {
  if (!is_there(file_)) return;
  try {
    const nlohmann::json json = nlohmann::json::parse(read_file(file_, kLogLimit));
    for (const auto& [stage, entry] : json.items()) {
      stages_[stage] = {entry.at("key").get<std::string>(), entry.at("done").get<bool>()};
    }
  } catch (const nlohmann::json::exception&) {
    throw DataError(file_ + ": is damaged; remove it, and all stages are done again");
  }
}

bool StageLog::is_done(const std::string& stage, const std::string& key) const {
  return is_begun(stage, key) && stages_.at(stage).done;
}

bool StageLog::is_begun(const std::string& stage, const std::string& key) const {
  const auto found = stages_.find(stage);
  return found != stages_.end() && found->second.key == key;
}

void StageLog::begin(const std::string& stage, const std::string& key) {
  stages_[stage] = {key, false};
  write();
}

void StageLog::end(const std::string& stage, const std::string& key) {
  stages_[stage] = {key, true};
  write();
}

void StageLog::write() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, stage] : stages_) json[name] = {{"key", stage.key}, {"done", stage.done}};
  write_file(file_, json.dump(1) + "\n");
}

std::string stage_key(const std::vector<std::string>& inputs) {
  Sha256 sum;
  for (const std::string& input : inputs) {
    const std::string sized = std::to_string(input.size()) + ":" + input;
    sum.update(std::as_bytes(std::span(sized)));
  }
  return sum.finish();
}

std::string data_fingerprint(const std::string& folder) {
  check_data_folder(folder);
  std::vector<std::string> inputs;
  std::set<std::string> files;
  for (const char* table : {"wav.scp", "feats.scp", "segments", "text", "utt2spk"}) {
    const std::string path = folder + "/" + table;
    if (!is_there(path)) continue;
    inputs.push_back(table);
    inputs.push_back(read_file(path, kTableLimit));
    if (std::string_view(table).ends_with(".scp")) {
      files.merge(files_of_index(folder, inputs.back(), std::string_view(table) == "feats.scp"));
    }
  }
  for (const std::string& file : files) inputs.push_back(file + " " + state_of(file));
  return stage_key(inputs);
}

}  // namespace hadal
