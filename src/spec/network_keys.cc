#include "spec/network_keys.h"

#include "spec/layer_name.h"

namespace hadal {

namespace {

constexpr std::size_t kMaxDimensions = 8;
constexpr WholeRange kDimension{1, 1 << 24};
constexpr std::int64_t kMaxInputElements = std::int64_t{1} << 30;
constexpr std::size_t kMaxLayers = 10'000;

void read_input(const Value& value, const std::string& path, NetworkSpec& into) {
  if (value.kind != Value::Kind::list || value.items.empty() || value.items.size() > kMaxDimensions) {
    throw ConfigError(value.where, path + " must be a list of 1 to 8 sizes, as [1, 28, 28]");
  }
  into.input.clear();
  std::int64_t elements = 1;
  for (const Value& size : value.items) {
    into.input.push_back(static_cast<std::int64_t>(read_whole(size, "a size of " + path, kDimension)));
    elements *= into.input.back();
    if (elements > kMaxInputElements) throw ConfigError(value.where, path + " has more than 2^30 elements");
  }
}

void read_layers(const Value& value, const std::string& path, NetworkSpec& into) {
  if (value.kind != Value::Kind::list || value.items.empty() || value.items.size() > kMaxLayers) {
    throw ConfigError(value.where,
                      path + " must be a list of 1 to 10000 layers, not " +
                          (value.kind == Value::Kind::list ? std::to_string(value.items.size()) : shown(value)));
  }
  into.layers.clear();
  for (const Value& item : value.items) {
    LayerSpec layer;
    layer.where = read_one_of(item, path, "layer", layer_types(), layer);
    into.layers.push_back(std::move(layer));
  }
  name_layers(into.layers);
}

Json write_layers(const NetworkSpec& network) {
  Json layers = Json::array();
  for (const LayerSpec& layer : network.layers) layers.push_back(write_map(layer_types(), layer));
  return layers;
}

}  // namespace

const Keys<NetworkSpec>& network_keys() {
  static const Keys<NetworkSpec> kKeys = {
      {"input", "list of sizes", kRequired, "shape of one sample: [channels, height, width], or [elements]", read_input,
       [](const NetworkSpec& from) { return Json(from.input); }},
      {"layers", "list of layers", kRequired, "from the input to the logits; each takes its input from the one above",
       read_layers, write_layers},
      only<NetworkSpec>("loss", {"softmax_cross_entropy"}, "mean over the batch of -log softmax of the label's logit"),
  };
  return kKeys;
}

std::string network_to_json(const NetworkSpec& network) {
  NetworkSpec undivided = network;
  for (LayerSpec& layer : undivided.layers) layer.split = LayerSplit::automatic;
  return write_map(network_keys(), undivided).dump();
}

NetworkSpec network_from_json(const std::string& json, const std::string& file) {
  if (json.size() > kMaxTextBytes || !nlohmann::json::accept(json)) {
    throw DataError(file + ": the network in it is not JSON, or larger than 4 MiB");
  }
  try {
    const Value value = read_yaml_at(json, {file, 0, 0});
    NetworkSpec network{.input = {}, .layers = {}, .where = value.where};
    read_map(value, "network", network_keys(), network);
    return network;
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

}  // namespace hadal
