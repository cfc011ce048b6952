#pragma once
// model.safetensors: parameters with the network that they belong to (docs/formats.md).

#include <optional>
#include <string>
#include <vector>

#include "nn/network.h"
#include "spec/image_spec.h"

namespace hadal {

using Values = std::vector<std::vector<float>>;  // by parameter, canonical

struct Model {
  NetworkSpec spec;
  Network network;
  Values parameters;
  std::optional<ImageSpec> image;  // how an image file becomes its input
};

// Writes the file; nothing in it depends on devices, paths, time or machine. Returns its SHA-256.
std::string save_model(const std::string& path, const NetworkSpec& spec, const Network& network,
                       const Values& parameters, const ImageSpec* image = nullptr);

// Throws ConfigError where the file cannot be opened, DataError where it is damaged or not such a file.
Model load_model(const std::string& path);

// The parameters of `network` from a model file. Throws ConfigError where the file has other names or shapes; with
// `partial`, parameters that the file lacks keep the values given in `into`, and what the network lacks is left out.
// Returns how many parameters were taken.
int init_from_model(const std::string& path, const Network& network, bool partial, Values& into);

}  // namespace hadal
