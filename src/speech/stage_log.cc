#include "speech/stage_log.h"

#include <algorithm>
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
      if (entry.contains("files")) stages_[stage].files = entry.at("files").get<std::map<std::string, std::uint64_t>>();
    }
  } catch (const nlohmann::json::exception&) {
    throw DataError(file_ + ": is damaged; remove it, and all stages are done again");
  }
}

bool StageLog::is_done(const std::string& stage, const std::string& key) const {
  if (!is_begun(stage, key) || !stages_.at(stage).done) return false;
  const fs::path folder = fs::path(file_).parent_path();
  return std::ranges::all_of(stages_.at(stage).files, [&](const auto& made) {
    std::error_code none;
    return fs::file_size(folder / made.first, none) == made.second && !none;
  });
}

bool StageLog::is_begun(const std::string& stage, const std::string& key) const {
  const auto found = stages_.find(stage);
  return found != stages_.end() && found->second.key == key;
}

void StageLog::begin(const std::string& stage, const std::string& key) {
  stages_[stage] = {key, false};
  write();
}

void StageLog::end(const std::string& stage, const std::string& key, const std::vector<std::string>& made) {
  Stage done{key, true};
  const fs::path folder = fs::path(file_).parent_path();
  const auto add = [&](const fs::path& path) {
    std::error_code none;
    const std::uint64_t size = fs::file_size(path, none);
    if (!none) done.files[path.lexically_relative(folder)] = size;
  };
  for (const std::string& path : made) {
    std::error_code none;
    if (!fs::is_directory(path, none)) {
      add(path);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(path, none)) {
      if (entry.is_regular_file(none)) add(entry.path());
    }
  }
  stages_[stage] = std::move(done);
  write();
}

void StageLog::write() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, stage] : stages_)
    json[name] = {{"key", stage.key}, {"done", stage.done}, {"files", stage.files}};
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
