#include "speech/recipe.h"

#include <algorithm>
#include <sstream>

#include "nn/network.h"
#include "spec/override.h"
#include "spec/value.h"
#include "spec/write_yaml.h"
#include "speech/recipe_keys.h"

namespace hadal {

namespace {

constexpr const char* kLastLayer = "states";

bool is_convolutional(const RecipeNetwork& network) {
  return std::any_of(network.layers.begin(), network.layers.end(), [](const LayerSpec& layer) {
    return std::holds_alternative<ConvOptions>(layer.options) || std::holds_alternative<PoolOptions>(layer.options);
  });
}

// Boltzmann machines are of layers that are fully connected and have sigmoids.
void check_pretrain(const RecipeNetwork& network) {
  if (network.pretrain == Pretrain::none) return;
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const LayerSpec& layer = network.layers[l];
    const auto* activation = std::get_if<ActivationOptions>(&layer.options);
    const bool fits = l % 2 == 0 ? std::holds_alternative<FullyConnectedOptions>(layer.options)
                                 : activation != nullptr && activation->kind == ActivationKind::sigmoid;
    if (fits && layer.from.empty()) continue;
    throw ConfigError(layer.where, "network.pretrain: rbm needs fully_connected and sigmoid layers in turn, and '" +
                                       layer.name + "' is " + (fits ? "not over the layer above" : layer.type) +
                                       "; use pretrain: none");
  }
  if (network.layers.size() % 2 == 0) return;
  throw ConfigError(network.layers.back().where,
                    "network.pretrain: rbm needs a sigmoid after '" + network.layers.back().name + "'");
}

void check_features(const Recipe& recipe, const Position& where) {
  const FeatureOptions& features = recipe.features;
  const double half = features.sample_rate / 2;
  const double high = features.high_hz > 0 ? features.high_hz : half + features.high_hz;
  const auto refuse = [&](bool what, const std::string& why) {
    if (what) throw ConfigError(where, why);
  };
  if (features.kind == FeatureKind::given) {
    refuse(recipe.augment.copies > 0, "augment.copies changes audio, and features: {kind: given} are of none; use 0");
    return;
  }
  refuse(high > half || features.low_hz >= high,
         "features: the filters must lie between 0 and half of sample_rate: low_hz " +
             number_json(features.low_hz).dump() + ", high_hz " + number_json(high).dump() + " of " +
             number_json(half).dump());
  refuse(features.kind == FeatureKind::mfcc && features.cepstra > features.mel_bins,
         "features.cepstra: " + std::to_string(features.cepstra) + " cannot be made of " +
             std::to_string(features.mel_bins) + " mel_bins");
}

const Value* entry_of(const Value& map, const std::string& key) {
  const auto found = std::ranges::find(map.entries, key, &Entry::key);
  return found == map.entries.end() ? nullptr : &found->value;
}

// Its network says what goes in, or its data are those of a job, which no recipe can say; and it has no dictionary.
bool is_job(const Value& root) {
  const Value* network = entry_of(root, "network");
  const Value* data = entry_of(root, "data");
  const Value* train = data == nullptr ? nullptr : entry_of(*data, "train");
  return entry_of(root, "lexicon") == nullptr && ((network != nullptr && entry_of(*network, "input") != nullptr) ||
                                                  (train != nullptr && train->kind == Value::Kind::map));
}

// Something that a job of this network is checked with before the data are known.
void check_network(Recipe& recipe, const std::string& file) {
  for (const LayerSpec& layer : recipe.network.layers) {
    if (layer.name != kLastLayer) continue;
    throw ConfigError(layer.where, "the last layer is added, and is called 'states': give this one another name");
  }
  JobSpec job = recipe.job;
  job.network.layers = recipe.network.layers;
  job.network.where = recipe.network.layers_where;
  NpyData frames;
  frames.where = {file, 0, 0};
  job.data.train = frames;
  if (recipe.data.held_out > 0) job.data.test = frames;
  check_job(job);
  recipe.job.parallel = job.parallel;
}

}  // namespace

Recipe parse_recipe(const std::string& text, const std::string& file, const std::vector<Override>& overrides) {
  Value root = read_yaml(text, file);
  const Position unwritten{file, 0, 0};
  if (root.kind == Value::Kind::null) {
    throw ConfigError(unwritten, "is empty; a recipe needs name, data, lexicon, network, solver");
  }
  if (is_job(root)) {
    throw ConfigError(unwritten, "is a job, and no recipe of speech: 'hadal train' trains it");
  }
  if (root.kind == Value::Kind::map) apply_overrides(root, overrides);
  Recipe recipe;
  recipe.job = unwritten_job(file);
  recipe.job.data.batch = 256;
  recipe.data.extra_where = recipe.data.test_where = recipe.features_where = unwritten;
  read_map(root, "", recipe_table(), recipe, "the recipe");
  check_features(recipe, recipe.features_where);
  check_pretrain(recipe.network);
  check_network(recipe, file);
  return recipe;
}

Recipe load_recipe(const std::string& path, const std::vector<Override>& overrides) {
  return parse_recipe(read_text_file(path, "a recipe"), path, overrides);
}

std::string to_yaml(const Recipe& recipe) { return write_yaml(write_map(recipe_table(), recipe)); }

std::string identity(const Recipe& recipe, const std::vector<std::string>& keys) {
  const Json map = write_map(recipe_table(), recipe);
  nlohmann::json chosen;  // keys in order of their names
  for (const std::string& key : keys) {
    const Json* at = &map;
    std::istringstream words(key);
    for (std::string word; at != nullptr && std::getline(words, word, '.');) {
      at = at->contains(word) ? &at->at(word) : nullptr;
    }
    chosen[key] = at == nullptr ? nlohmann::json() : nlohmann::json(*at);
  }
  return chosen.dump();
}

NetworkSpec network_of(const Recipe& recipe, std::int64_t feature_dim, std::int64_t states) {
  const std::int64_t frames = recipe.network.splice.left + 1 + recipe.network.splice.right;
  NetworkSpec network;
  network.where = recipe.network.layers_where;
  network.input = is_convolutional(recipe.network) ? Shape{1, frames, feature_dim} : Shape{frames * feature_dim};
  network.layers = recipe.network.layers;
  LayerSpec last;
  last.type = "fully_connected";
  last.name = kLastLayer;
  last.where = recipe.network.layers_where;
  FullyConnectedOptions options;
  options.out = states;
  last.options = options;
  network.layers.push_back(std::move(last));
  return network;
}

}  // namespace hadal
