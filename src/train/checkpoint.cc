#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "optim/rule.h"
#include "tensor/safetensors.h"

namespace hadal {

namespace fs = std::filesystem;

namespace {

constexpr const char* kCheckpointFormat = "hadal-checkpoint-3";
constexpr const char* kPrefix = "step-";
constexpr const char* kSuffix = ".safetensors";

Metadata metadata_of(const Checkpoint& checkpoint) {
  return {{"format", kCheckpointFormat},
          {"job", checkpoint.identity},
          {"data", checkpoint.data},
          {"step", std::to_string(checkpoint.position.step)},
          {"epoch", std::to_string(checkpoint.position.epoch)},
          {"batch_in_epoch", std::to_string(checkpoint.position.batch_in_epoch)},
          {"loss_sum", fmt::format("{:.17g}", checkpoint.position.loss_sum)},
          {"loss_rows", std::to_string(checkpoint.position.loss_rows)},
          {"plateau_best", fmt::format("{:.17g}", checkpoint.position.plateau.best)},
          {"plateau_epochs", std::to_string(checkpoint.position.plateau.epochs)},
          {"stalls", std::to_string(checkpoint.position.stalls)},
          {"stopping_best", fmt::format("{:.17g}", checkpoint.position.stopping.best)},
          {"stopping_epochs", std::to_string(checkpoint.position.stopping.epochs)}};
}

// Over the metadata but the sum itself, then over each tensor's name, shape and values in their order; each text with
// the zero that ends it.
std::string checksum(const Metadata& metadata, const std::vector<TensorData>& tensors) {
  std::uint32_t sum = 0;
  const auto add = [&](const std::string& text) {
    sum = crc32c(std::as_bytes(std::span(text.c_str(), text.size() + 1)), sum);
  };
  for (const auto& [key, value] : metadata) {
    if (key == "crc32c") continue;
    add(key);
    add(value);
  }
  for (const TensorData& tensor : tensors) {
    add(tensor.name);
    add(to_string(tensor.shape));
    sum = crc32c(tensor.bytes, sum);
  }
  return fmt::format("{:08x}", sum);
}

template <class Number>
Number number(const Metadata& metadata, const std::string& key, const std::string& path) {
  const auto found = metadata.find(key);
  Number value = -1;
  if (found != metadata.end()) {
    const char* end = found->second.data() + found->second.size();
    if (std::from_chars(found->second.data(), end, value).ptr != end) value = -1;
  }
  if (value < 0) throw DataError(path + ": metadata '" + key + "' is not a number");
  return value;
}

// Newest first.
std::vector<fs::path> checkpoints_in(const std::string& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kSuffix)) paths.push_back(entry.path());
  }
  std::sort(paths.rbegin(), paths.rend());
  return paths;
}

// The states that a file has of a parameter: those of a rule, or of each device.
std::vector<std::string> states_in(const SafetensorsFile& file, const std::string& parameter) {
  std::vector<std::string> states;
  for (const std::string& state : state_names()) {
    if (file.contains(parameter + "." + state)) states.push_back(state);
  }
  for (int d = 0; file.contains(fmt::format("{}.squares.{}", parameter, d)); ++d) {
    states.push_back(fmt::format("squares.{}", d));
  }
  return states;
}

Checkpoint read_checkpoint(const std::string& path, const Network& network) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Metadata& metadata = file.metadata();
  if (!metadata.contains("format") || metadata.at("format") != kCheckpointFormat)
    throw DataError(path + ": not a checkpoint");
  std::vector<TensorData> tensors;
  for (const SafetensorsEntry& entry : file.entries()) tensors.push_back(file.tensor(entry.name));
  if (!metadata.contains("crc32c") || metadata.at("crc32c") != checksum(metadata, tensors)) {
    throw DataError(path + ": its checksum does not match its contents");
  }
  Checkpoint checkpoint;
  const auto text = [&](const char* key) { return metadata.contains(key) ? metadata.at(key) : ""; };
  checkpoint.identity = text("job");
  checkpoint.data = text("data");
  checkpoint.position = {
      number<std::int64_t>(metadata, "step", path),
      number<std::int64_t>(metadata, "epoch", path),
      number<std::int64_t>(metadata, "batch_in_epoch", path),
      number<double>(metadata, "loss_sum", path),
      number<std::int64_t>(metadata, "loss_rows", path),
      {number<double>(metadata, "plateau_best", path), number<std::int64_t>(metadata, "plateau_epochs", path)},
      {number<double>(metadata, "stopping_best", path), number<std::int64_t>(metadata, "stopping_epochs", path)},
      number<std::int64_t>(metadata, "stalls", path)};
  for (const Parameter& parameter : network.parameters) {
    const auto read = [&](const std::string& name) {
      const auto entry = std::find_if(file.entries().begin(), file.entries().end(),
                                      [&](const SafetensorsEntry& e) { return e.name == name; });
      if (entry == file.entries().end() || entry->shape != parameter.shape) {
        throw ConfigError(path + ": is of another network: this job's " + name + " is " + to_string(parameter.shape) +
                          (entry == file.entries().end() ? ", the checkpoint has none"
                                                         : ", the checkpoint's " + to_string(entry->shape)) +
                          "; name another folder with --out");
      }
      std::vector<float> values(static_cast<std::size_t>(elements(parameter.shape)));
      file.copy_floats(name, parameter.shape, values);
      return values;
    };
    checkpoint.parameters.push_back(read(parameter.name));
    for (const std::string& state : states_in(file, parameter.name)) {
      const std::string name = parameter.name + "." + state;
      std::vector<std::vector<float>>& values = checkpoint.states[state];
      values.resize(checkpoint.parameters.size() - 1);  // what is not learned has none
      values.push_back(read(name));
    }
  }
  return checkpoint;
}

}  // namespace

void save_checkpoint(const std::string& folder, const Network& network, const Checkpoint& checkpoint,
                     std::int64_t keep) {
  create_folders(folder);
  std::error_code error;
  std::vector<TensorData> tensors;
  for (std::size_t p = 0; p < network.parameters.size(); ++p) {
    const Parameter& parameter = network.parameters[p];
    const auto add = [&](const std::string& name, const std::vector<float>& values) {
      tensors.push_back({name, DType::f32, parameter.shape, std::as_bytes(std::span(values))});
    };
    add(parameter.name, checkpoint.parameters[p]);
    if (!parameter.learned) continue;
    for (const auto& [state, values] : checkpoint.states) add(parameter.name + "." + state, values[p]);
  }
  Metadata metadata = metadata_of(checkpoint);
  metadata["crc32c"] = checksum(metadata, tensors);
  const fs::path written = fmt::format("{}/{}{:09}{}", folder, kPrefix, checkpoint.position.step, kSuffix);
  write_safetensors(written.string(), metadata, tensors);

  // What a kill left half written.
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(std::string(kSuffix) + ".tmp")) fs::remove(entry.path(), error);
  }
  // Those of later steps were passed over when this run resumed: they are damaged, and must not push this one out.
  std::int64_t kept = 0;
  for (const fs::path& path : checkpoints_in(folder)) {
    if (path.filename() > written.filename() || ++kept > keep) fs::remove(path, error);
  }
}

bool has_checkpoints(const std::string& folder) { return !checkpoints_in(folder).empty(); }

std::optional<Checkpoint> load_newest_checkpoint(const std::string& folder, const Network& network,
                                                 const std::function<void(const std::string&)>& warn) {
  for (const fs::path& path : checkpoints_in(folder)) {
    try {
      return read_checkpoint(path.string(), network);
    } catch (const DataError& error) {
      warn(std::string(error.what()) + "; passed over");
    }
  }
  return std::nullopt;
}

}  // namespace hadal
