#include "speech/recipe.h"

#include <gtest/gtest.h>

#include "spec/job_keys.h"
#include "speech/feature_extractor.h"
#include "speech/recipe_keys.h"

namespace hadal {
namespace {

constexpr const char* kSmallRecipe = R"(name: small
data: {train: data/train, test: data/test}
lexicon: data/lexicon.txt
network:
  layers:
    - fully_connected: {out: 64}
    - sigmoid
solver: {epochs: 2, rule: {sgd: {rate: 0.1}}}
)";

std::string refusal_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  std::vector<Override> overrides;
  for (const std::string& set : sets) overrides.push_back(parse_override(set));
  try {
    parse_recipe(text, "recipe.yaml", overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

Recipe small_with(const std::vector<std::string>& sets) {
  std::vector<Override> overrides;
  for (const std::string& set : sets) overrides.push_back(parse_override(set));
  return parse_recipe(kSmallRecipe, "recipe.yaml", overrides);
}

TEST(Recipe, has_defaults) {
  const Recipe recipe = parse_recipe(kSmallRecipe, "recipe.yaml");
  EXPECT_EQ(recipe.name(), "small");
  EXPECT_EQ(recipe.job.data.batch, 256);
  EXPECT_EQ(recipe.network.splice.left, 7);
  EXPECT_EQ(recipe.features.cepstra, 13);
  EXPECT_EQ(recipe.language.order, 2);
}

TEST(Recipe, is_read_back_as_it_was_written) {
  const Recipe recipe = small_with({"augment.copies=3", "augment.speed=[0.9,1.1]", "hmm.context=triphone",
                                    "parallel.devices=[cpu:0,cpu:1]", "reproducible=true", "features.high_hz=-200",
                                    "network.layers.0.fully_connected.out=32", "decode.tune=false"});
  const std::string text = to_yaml(recipe);
  EXPECT_EQ(to_yaml(parse_recipe(text, "again")), text);
  EXPECT_NE(text.find("high_hz: -200"), std::string::npos) << text;
}

TEST(Recipe, says_where_what_is_wrong) {
  EXPECT_EQ(refusal_of("name: x\nlexcion: a\n"),
            "recipe.yaml:2:1: the recipe has no key 'lexcion'; did you mean 'lexicon'?");
  EXPECT_EQ(refusal_of(kSmallRecipe, {"features.kind=mfc"}),
            "--set features.kind=mfc: features.kind must be fbank, mfcc or given, not 'mfc'; did you mean 'mfcc'?");
  EXPECT_EQ(refusal_of(""), "recipe.yaml: is empty; a recipe needs name, data, lexicon, network, solver");
}

TEST(Recipe, errors_name_the_file_that_was_given) {
  const auto refusal = [](const std::string& text) -> std::string {
    try {
      parse_recipe(text, "my/digits.yaml");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(refusal("name: x\n"), "my/digits.yaml:1:1: the recipe needs 'data'");
  EXPECT_EQ(refusal("[]"), "my/digits.yaml:1:1: the recipe must be a map, not a list");
  const std::string features = refusal(std::string(kSmallRecipe) + "features: {low_hz: 9000}\n");
  EXPECT_TRUE(features.starts_with("my/digits.yaml:9:11: features: the filters must lie")) << features;
  const std::string batch = refusal(std::string(kSmallRecipe) + "batch: 1\nparallel: {devices: [cpu:0, cpu:1]}\n");
  EXPECT_TRUE(batch.starts_with("my/digits.yaml")) << batch;
}

// What a recipe may say, features can be made of.
TEST(Recipe, has_the_limits_of_the_features) {
  const auto accepted = [](const std::vector<std::string>& sets) {
    const Recipe recipe = small_with(sets);
    EXPECT_GT(FeatureExtractor(recipe.features).dim(), 0);
  };
  accepted({"features.sample_rate=384000", "features.frame_length_ms=1000", "features.mel_bins=512",
            "features.cepstra=512", "features.lifter=1000"});
  accepted({"features.sample_rate=1000", "features.mel_bins=4", "features.cepstra=4"});
  EXPECT_NE(refusal_of(kSmallRecipe, {"features.sample_rate=384001"}).find("from 1000 to 384000"), std::string::npos);
  EXPECT_NE(refusal_of(kSmallRecipe, {"features.mel_bins=3"}).find("from 4 to 512"), std::string::npos);
  FeatureOptions options;
  options.mel_bins = 3;
  EXPECT_THROW(FeatureExtractor{options}, ConfigError);
}

TEST(Recipe, refuses_what_does_not_go_together) {
  EXPECT_NE(refusal_of(kSmallRecipe, {"features.kind=given", "augment.copies=1"}).find("augment.copies changes audio"),
            std::string::npos);
  EXPECT_NE(
      refusal_of(kSmallRecipe, {"features.sample_rate=8000", "features.high_hz=7000"}).find("half of sample_rate"),
      std::string::npos);
  EXPECT_NE(refusal_of(kSmallRecipe, {"features.cepstra=40"}).find("cannot be made of 23 mel_bins"), std::string::npos);
  EXPECT_NE(refusal_of(kSmallRecipe, {"network.layers.1.sigmoid.name=states"}).find("give this one another name"),
            std::string::npos);
  // What a job refuses too.
  EXPECT_NE(refusal_of(kSmallRecipe, {"batch=1", "parallel.devices=[cpu:0,cpu:1]"}).find("batch 1 is smaller"),
            std::string::npos);
}

TEST(Recipe, pretrains_sigmoids_only) {
  EXPECT_EQ(refusal_of(kSmallRecipe, {"network.pretrain=rbm"}), "no error");
  const std::string relu = refusal_of(kSmallRecipe, {"network.pretrain=rbm", "network.layers.1=relu"});
  EXPECT_NE(relu.find("needs fully_connected and sigmoid layers in turn, and 'relu1' is relu"), std::string::npos)
      << relu;
  const std::string bare =
      refusal_of(kSmallRecipe, {"network.pretrain=rbm", "network.layers=[fully_connected: {out: 3}]"});
  EXPECT_NE(bare.find("needs a sigmoid after 'fully_connected1'"), std::string::npos) << bare;
}

TEST(Recipe, makes_a_network_over_the_states) {
  const NetworkSpec dense = network_of(small_with({}), 39, 120);
  EXPECT_EQ(dense.input, (Shape{15 * 39}));
  EXPECT_EQ(std::get<FullyConnectedOptions>(dense.layers.back().options).out, 120);
  const NetworkSpec conv = network_of(small_with({"network.layers.0={conv: {out: 4, kernel: 3}}"}), 39, 120);
  EXPECT_EQ(conv.input, (Shape{1, 15, 39}));
}

TEST(Recipe, has_an_identity_of_each_part) {
  const Recipe before = small_with({}), after = small_with({"gmm.gaussians=2"});
  EXPECT_EQ(identity(before, {"features", "data.train"}), identity(after, {"features", "data.train"}));
  EXPECT_NE(identity(before, {"gmm"}), identity(after, {"gmm"}));
}

}  // namespace
}  // namespace hadal
