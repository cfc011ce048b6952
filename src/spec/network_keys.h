#pragma once
// The tables of the section `network`.

#include "spec/job.h"
#include "spec/keys.h"

namespace hadal {

// Every type of layer, as alternatives: {conv: {...}}.
const Keys<LayerSpec>& layer_types();

const Keys<NetworkSpec>& network_keys();

// The keys inside a layer, and inside an initializer, for the list of schema.h: "conv.out", "LAYER.name",
// "INITIALIZER.gaussian".
std::vector<KeyInfo> layer_key_list();

}  // namespace hadal
