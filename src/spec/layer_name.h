#pragma once
// Names of layers: letters, digits, '_', '-' and '.', beginning with a letter; at most 128 characters.

#include <string>
#include <vector>

#include "nn/layer.h"
#include "spec/value.h"

namespace hadal {

// Throws ConfigError at the value.
std::string read_layer_name(const Value& value, const std::string& path);

// Names the layers that have no name by their type and their number among the layers of that type, named or not:
// "conv2". Throws ConfigError at a layer whose name another one has.
void name_layers(std::vector<LayerSpec>& layers);

}  // namespace hadal
