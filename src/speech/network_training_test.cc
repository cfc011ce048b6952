#include "speech/network_training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "speech/network_model.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

constexpr std::int64_t kStates = 4, kDim = 6;

// Utterances whose frames lie around a point of their state; states come in order, some more often than others.
struct MadeUpSpeech {
  std::vector<FeatureMatrix> features;
  std::vector<std::vector<std::int32_t>> states;

  explicit MadeUpSpeech(std::int64_t utterances) {
    const RandomSequence centre(1, RandomUse::synthetic, 0), noise(1, RandomUse::synthetic, 1);
    for (std::int64_t u = 0; u < utterances; ++u) {
      const std::int64_t frames = 20 + u % 7;
      FeatureMatrix& matrix = features.emplace_back(frames, kDim);
      std::vector<std::int32_t>& labels = states.emplace_back();
      for (std::int64_t f = 0; f < frames; ++f) {
        labels.push_back(f < 10 ? 0 : static_cast<std::int32_t>(1 + f % 3));
        for (std::int64_t d = 0; d < kDim; ++d) {
          const auto i = static_cast<std::uint64_t>((u * 100 + f) * kDim + d);
          matrix.row(f)[static_cast<std::size_t>(d)] =
              2 * centre.normal(static_cast<std::uint64_t>(labels.back() * kDim + d)) + noise.normal(i);
        }
      }
    }
  }

  std::vector<AlignedFrames> aligned() const {
    std::vector<AlignedFrames> list;
    for (std::size_t u = 0; u < features.size(); ++u) list.push_back({&features[u], states[u]});
    return list;
  }
};

Recipe recipe_with(const std::vector<std::string>& sets) {
  std::vector<Override> overrides;
  for (const std::string& set : sets) overrides.push_back(parse_override(set));
  return parse_recipe(
      "name: made-up\n"
      "reproducible: true\n"
      "data: {train: none}\n"
      "lexicon: none\n"
      "network: {splice: {left: 1, right: 2}, layers: [fully_connected: {out: 16}, sigmoid, fully_connected: {out: "
      "12}, "
      "sigmoid]}\n"
      "solver: {epochs: 6, rule: {sgd: {rate: 0.5, momentum: 0.9}}}\n"
      "batch: 32\n",
      "recipe.yaml", overrides);
}

struct Trained {
  nlohmann::ordered_json summary;
  std::vector<std::string> notices;
};

Trained train_made_up(const testing::TemporaryFolder& folder, const Recipe& recipe, const MadeUpSpeech& speech) {
  const std::vector<AlignedFrames> aligned = speech.aligned();
  write_training_frames(folder.path("frames"), "train", aligned);
  write_training_frames(folder.path("frames"), "held_out", std::span(aligned).first(5));
  Trained trained;
  NetworkTraining training;
  training.states = kStates;
  training.frames = folder.path("frames");
  training.held_out = true;
  training.network = folder.path("network");
  training.pretrain = recipe.network.pretrain == Pretrain::rbm;
  training.notice = [&](const std::string& notice) { trained.notices.push_back(notice); };
  trained.summary = train_network(recipe, training, aligned);
  return trained;
}

// The share of frames whose state has the best score.
double agreement(AcousticModel& model, const MadeUpSpeech& speech, const std::vector<float>& add = {}) {
  std::int64_t right = 0, all = 0;
  for (std::size_t u = 0; u < speech.features.size(); ++u) {
    const FeatureMatrix scores = model.score(speech.features[u]);
    for (std::int64_t f = 0; f < scores.frames; ++f, ++all) {
      std::vector<float> row(scores.row(f).begin(), scores.row(f).end());
      for (std::size_t s = 0; s < add.size(); ++s) row[s] += add[s];
      const auto best = std::ranges::max_element(row) - row.begin();
      right += best == speech.states[u][static_cast<std::size_t>(f)] ? 1 : 0;
    }
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

TEST(NetworkTraining, makes_an_acoustic_model) {
  const testing::TemporaryFolder folder;
  const MadeUpSpeech speech(40);
  const Trained trained = train_made_up(folder, recipe_with({}), speech);
  EXPECT_GT(trained.summary["test"]["accuracy"].get<double>(), 0.95);
  NetworkModel model(folder.path("network"));
  EXPECT_EQ(model.states(), kStates);
  EXPECT_GT(agreement(model, speech), 0.95);
}

TEST(NetworkTraining, takes_the_states_frequencies_off) {
  const testing::TemporaryFolder folder;
  const MadeUpSpeech speech(12);
  train_made_up(folder, recipe_with({"solver.epochs=1"}), speech);
  NetworkModel model(folder.path("network"));
  const std::vector<float> priors = log_priors(speech.aligned(), kStates);
  double sum = 0;
  for (const float prior : priors) sum += std::exp(static_cast<double>(prior));
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_GT(priors[0], priors[1]);
  // Posteriors again: they sum to 1.
  const FeatureMatrix scores = model.score(speech.features[0]);
  for (std::int64_t f = 0; f < scores.frames; ++f) {
    double all = 0;
    for (std::size_t s = 0; s < kStates; ++s) all += std::exp(static_cast<double>(scores.row(f)[s] + priors[s]));
    ASSERT_NEAR(all, 1, 1e-4);
  }
}

// Batches are of fixed sizes, and the last one of an utterance is filled up.
TEST(NetworkTraining, scores_a_frame_the_same_in_utterances_of_any_length) {
  const testing::TemporaryFolder folder;
  const MadeUpSpeech speech(12);
  train_made_up(folder, recipe_with({"solver.epochs=1"}), speech);
  NetworkModel model(folder.path("network"));
  FeatureMatrix all(0, kDim);
  while (all.frames < 600) {
    const FeatureMatrix& next = speech.features[static_cast<std::size_t>(all.frames) % 12];
    all.values.insert(all.values.end(), next.values.begin(), next.values.end());
    all.frames += next.frames;
  }
  const FeatureMatrix long_scores = model.score(all);
  for (const std::int64_t frames : {1, 5, 17, 65, 257, 300}) {
    FeatureMatrix part(frames, kDim);
    std::copy_n(all.values.begin(), part.values.size(), part.values.begin());
    const FeatureMatrix scores = model.score(part);
    ASSERT_EQ(scores.frames, frames);
    for (std::int64_t f = 0; f < frames - 2; ++f) {  // the last two see the end
      for (std::size_t s = 0; s < kStates; ++s) ASSERT_NEAR(scores.row(f)[s], long_scores.row(f)[s], 1e-4) << f;
    }
  }
}

TEST(NetworkTraining, refuses_features_of_another_width) {
  const testing::TemporaryFolder folder;
  const MadeUpSpeech speech(8);
  train_made_up(folder, recipe_with({"solver.epochs=1"}), speech);
  NetworkModel model(folder.path("network"));
  EXPECT_THROW(model.score(FeatureMatrix(3, kDim + 1)), DataError);
  folder.write("network/priors.json",
               "{\"feature_dim\": 6, \"splice\": {\"left\": 1, \"right\": 1}, \"log_priors\": [0]}");
  EXPECT_THROW(NetworkModel(folder.path("network")), DataError);
  folder.write("network/priors.json", "{");
  EXPECT_THROW(NetworkModel(folder.path("network")), DataError);
}

TEST(NetworkTraining, begins_with_boltzmann_machines_where_asked) {
  const testing::TemporaryFolder folder;
  const MadeUpSpeech speech(20);
  const Trained plain = train_made_up(folder, recipe_with({"solver.epochs=1"}), speech);
  const Trained trained = train_made_up(folder, recipe_with({"solver.epochs=1", "network.pretrain=rbm"}), speech);
  EXPECT_TRUE(std::ranges::any_of(trained.notices, [](const std::string& notice) {
    return notice.find("pre-training layer 2, epoch 5 of 5: reconstruction error") != std::string::npos;
  }));
  EXPECT_NE(trained.summary["model_sha256"], plain.summary["model_sha256"]);
  const Trained again = train_made_up(folder, recipe_with({"solver.epochs=1", "network.pretrain=rbm"}), speech);
  EXPECT_EQ(trained.summary["model_sha256"], again.summary["model_sha256"]);
}

}  // namespace
}  // namespace hadal
