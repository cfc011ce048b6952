#pragma once
// recipe.yaml: all that a speech recogniser depends on, from recordings to words. docs/speech.md is its reference.

#include <optional>
#include <string>
#include <vector>

#include "spec/job.h"
#include "spec/schema.h"
#include "speech/feature_options.h"
#include "speech/hmm_options.h"

namespace hadal {

// Folders as Kaldi has them; paths are relative to the working directory.
struct RecipeData {
  std::string train, extra, test;  // no extra, no test: empty
  double held_out = 0.1;  // share of the speakers of `train`, or of its utterances where it has too few speakers
  BadSample on_bad_utterance = BadSample::fail;
  Position train_where, extra_where, test_where;
};

// Contrastive divergence (speech/rbm.h) of each sigmoid layer, from the first.
struct RbmOptions {
  std::int64_t epochs = 5;
  double gaussian_rate = 0.001, rate = 0.02;  // of the first layer, whose inputs are real numbers, and of the others
  double momentum = 0.9, weight_decay = 0.0002;
};

enum class Pretrain { none, rbm };

struct RecipeNetwork {
  Splice splice{7, 7};
  std::vector<LayerSpec> layers;  // without the last, over the states
  std::int64_t realign = 1;       // times that the network aligns the training utterances, and is trained again
  Pretrain pretrain = Pretrain::none;
  RbmOptions rbm;
  Position where, layers_where, pretrain_where;
};

struct RecipeDecode {
  DecodeOptions options;
  bool tune =
      true;  // acoustic_scale, word_penalty: of each model, what has the fewest word errors on the held-out part
};

struct Recipe {
  std::string lexicon;
  Position lexicon_where, features_where;
  RecipeData data;
  LanguageModelOptions language;
  FeatureOptions features;
  AugmentOptions augment;
  HmmOptions hmm;
  GmmOptions gmm;
  RecipeNetwork network;
  RecipeDecode decode;
  JobSpec job;  // name, seed, solver, batch, devices, ...: everything but network and data

  const std::string& name() const { return job.name; }
  std::uint64_t seed() const { return job.seed; }
};

// Read as strictly as a job, with overrides as a job has them. Throws ConfigError at the line and column.
Recipe parse_recipe(const std::string& text, const std::string& file, const std::vector<Override>& overrides = {});
Recipe load_recipe(const std::string& path, const std::vector<Override>& overrides = {});

// With every default written out, as YAML that parse_recipe reads back to the same recipe.
std::string to_yaml(const Recipe& recipe);

// What a stage depends on: these sections of the recipe as canonical JSON ("features", "hmm.context").
std::string identity(const Recipe& recipe, const std::vector<std::string>& keys);

// The network with its last layer, "states", for features so wide.
NetworkSpec network_of(const Recipe& recipe, std::int64_t feature_dim, std::int64_t states);

// Every key, for docs/speech.md.
std::vector<KeyInfo> recipe_keys();

}  // namespace hadal
