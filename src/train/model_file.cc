#include "train/model_file.h"

#include <algorithm>

#include "base/error.h"
#include "base/sha256.h"
#include "spec/image_keys.h"
#include "spec/job.h"
#include "tensor/safetensors.h"

namespace hadal {

namespace {

constexpr const char* kModelFormat = "hadal-model-1";

}  // namespace

std::string save_model(const std::string& path, const NetworkSpec& spec, const Network& network,
                       const Values& parameters, const ImageSpec* image) {
  std::vector<TensorData> tensors;
  for (std::size_t p = 0; p < network.parameters.size(); ++p) {
    const Parameter& parameter = network.parameters[p];
    tensors.push_back({parameter.name, DType::f32, parameter.shape, std::as_bytes(std::span(parameters[p]))});
  }
  Metadata metadata{{"format", kModelFormat}, {"network", network_to_json(spec)}};
  if (image != nullptr) metadata["image"] = image_to_json(*image);
  write_safetensors(path, metadata, tensors);
  return sha256_of_file(path);
}

Model load_model(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Metadata& metadata = file.metadata();
  if (!metadata.contains("format") || metadata.at("format") != kModelFormat || !metadata.contains("network")) {
    throw DataError(path + ": a safetensors file, but not one that 'hadal train' wrote: its metadata has no network");
  }
  Model model;
  model.spec = network_from_json(metadata.at("network"), path);
  if (metadata.contains("image")) model.image = image_from_json(metadata.at("image"), path);
  try {
    model.network = build_network(model.spec);
  } catch (const ConfigError& error) {
    throw DataError(path + ": its network cannot be built: " + error.what());
  }
  for (const Parameter& parameter : model.network.parameters) {
    if (!file.contains(parameter.name)) throw DataError(path + ": has no tensor " + parameter.name);
    // As large as the file says, not the network: that one may ask for any amount of memory.
    std::vector<float> values(file.tensor(parameter.name).bytes.size() / sizeof(float));
    file.copy_floats(parameter.name, parameter.shape, values);
    model.parameters.push_back(std::move(values));
  }
  return model;
}

int init_from_model(const std::string& path, const Network& network, bool partial, Values& into) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  int taken = 0;
  for (std::size_t p = 0; p < network.parameters.size(); ++p) {
    const Parameter& parameter = network.parameters[p];
    if (!file.contains(parameter.name)) {
      if (partial) continue;
      throw ConfigError(path + ": has no tensor " + parameter.name +
                        "; --init needs all of the network's parameters, " +
                        "--init-partial takes those that are there");
    }
    const auto& entries = file.entries();
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const SafetensorsEntry& e) { return e.name == parameter.name; });
    if (entry->shape != parameter.shape) {
      throw ConfigError(path + ": " + parameter.name + " is " + to_string(entry->shape) + ", the network's is " +
                        to_string(parameter.shape));
    }
    file.copy_floats(parameter.name, parameter.shape, into[p]);
    ++taken;
  }
  if (!partial && file.entries().size() != network.parameters.size()) {
    for (const SafetensorsEntry& entry : file.entries()) {
      const bool known = std::any_of(network.parameters.begin(), network.parameters.end(),
                                     [&](const Parameter& parameter) { return parameter.name == entry.name; });
      if (!known) throw ConfigError(path + ": " + entry.name + " is not in the network; --init-partial ignores it");
    }
  }
  return taken;
}

}  // namespace hadal
