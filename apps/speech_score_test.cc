// hadal speech score and align.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "speech/archive.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

using testing::CommandResult;
using testing::Workplace;

class ScoreWorkplace : public Workplace {
 public:
  ScoreWorkplace() {
    std::string said, poor, good;
    for (int i = 0; i < 40; ++i) {
      const std::string name = fmt::format("u{}", 100 + i);
      said += name + " ONE TWO THREE\n";
      poor += name + (i % 2 == 0 ? " ONE TOO THREE\n" : " ONE TWO\n");
      good += name + (i % 8 == 0 ? " ONE TOO THREE\n" : " ONE TWO THREE\n");
    }
    write("said", said);
    write("poor", poor);
    write("good", good);
  }
};

TEST(SpeechScore, tells_the_rate_the_interval_and_the_confusions) {
  const ScoreWorkplace place;
  const CommandResult result = place.hadal({"speech", "score", "said", "poor"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("WER 33.33 %"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("40 of 120 words; 20 substitutions, 20 deletions, 0 insertions"), std::string::npos);
  EXPECT_NE(result.out.find("TWO              TOO"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("THREE            (nothing)"), std::string::npos) << result.out;
  const CommandResult shown = place.hadal({"speech", "score", "said", "good", "--utterances"});
  EXPECT_NE(shown.out.find("said  ONE TWO THREE \n  heard .   TOO .     \n"), std::string::npos) << shown.out;
}

TEST(SpeechScore, compares_two_systems) {
  const ScoreWorkplace place;
  const CommandResult result = place.hadal({"speech", "score", "said", "good", "--against", "poor", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json score = result.json();
  EXPECT_EQ(score["errors"], 5);
  EXPECT_EQ(score["against"]["errors"], 40);
  EXPECT_NEAR(score["reduction"].get<double>(), 0.875, 1e-9);
  EXPECT_LT(score["p"].get<double>(), 0.001);
  EXPECT_LT(score["interval_95"][0].get<double>(), 5.0 / 120);
  EXPECT_GT(score["interval_95"][1].get<double>(), 5.0 / 120);
  EXPECT_EQ(score["confusions"][0]["said"], "TWO");
  EXPECT_EQ(place.hadal({"speech", "score", "said", "good", "--against", "poor", "--json"}).out, result.out);
  const CommandResult text = place.hadal({"speech", "score", "said", "good", "--against", "poor"});
  EXPECT_NE(text.out.find("good makes 87.5 % fewer word errors than poor"), std::string::npos) << text.out;
}

TEST(SpeechScore, missing_utterances_count_as_nothing_and_unknown_ones_are_wrong) {
  const ScoreWorkplace place;
  place.write("few", "u100 ONE TWO THREE\n");
  const CommandResult few = place.hadal({"speech", "score", "said", "few", "--json"});
  EXPECT_EQ(few.exit_code, 0);
  EXPECT_EQ(few.json()["deletions"], 117);
  EXPECT_NE(few.err.find("few: 39 of 40 utterances are missing"), std::string::npos) << few.err;
  place.write("other", "u999 ONE\n");
  EXPECT_EQ(place.hadal({"speech", "score", "said", "other"}).exit_code, 3);
  EXPECT_EQ(place.hadal({"speech", "score", "said", "nowhere"}).exit_code, 2);
  place.write("twice", "u100 ONE\nu100 TWO\n");
  const CommandResult twice = place.hadal({"speech", "score", "said", "twice"});
  EXPECT_EQ(twice.exit_code, 3);
  EXPECT_NE(twice.err.find("twice:2: the utterance 'u100' is there twice"), std::string::npos) << twice.err;
}

TEST(SpeechScore, says_that_there_is_nothing_to_score) {
  const ScoreWorkplace place;
  place.write("silent", "u100\nu101\n");
  place.write("heard", "u100 ONE\nu101\n");
  const CommandResult nothing = place.hadal({"speech", "score", "silent", "heard"});
  EXPECT_EQ(nothing.exit_code, 3);
  EXPECT_NE(nothing.err.find("silent: has no words, so there is nothing to score"), std::string::npos) << nothing.err;
}

// Features of words of two phones, three states each, around means of their own.
TEST(SpeechAlign, trains_mixtures_of_given_features_and_aligns) {
  const Workplace place;
  std::filesystem::create_directory(place.path("data"));
  ArchiveWriter archive(place.path("data/feats.ark"), place.path("data/feats.scp"), "feats.ark");
  const RandomSequence random(5, RandomUse::self_test, 0);
  std::uint64_t draw = 0;
  std::string text;
  for (int u = 0; u < 20; ++u) {
    FeatureMatrix features;
    features.dim = 3;
    const auto say = [&](int phone) {
      for (int state = 3 * phone; state < 3 * phone + 3; ++state) {
        for (std::uint32_t frames = 2 + random.below(draw++, 3); frames > 0; --frames) {
          for (int d = 0; d < 3; ++d) {
            features.values.push_back(3 * std::sin(static_cast<float>(state * (d + 2))) + 0.5f * random.normal(draw));
            ++draw;
          }
          ++features.frames;
        }
      }
    };
    const std::string name = fmt::format("u{}", 10 + u);
    text += name;
    say(0);
    for (int i = 0; i < 3; ++i) {
      const bool first = random.below(draw++, 2) == 0;
      text += first ? " AB" : " BA";
      say(first ? 1 : 2);
      say(first ? 2 : 1);
    }
    say(0);
    text += "\n";
    archive.write(name, features);
  }
  archive.commit();
  place.write("data/text", text);
  place.write("lexicon.txt", "AB A B\nBA B A\n");
  place.write("recipe.yaml",
              "name: r\ndata: {train: data, held_out: 0.1}\nlexicon: lexicon.txt\n"
              "features: {kind: given, deltas: 0, mean: none, variance: none}\n"
              "gmm: {gaussians: 20, iterations: 4}\nnetwork: {layers: [fully_connected: {out: 8}, relu]}\n"
              "solver: {epochs: 1, rule: {sgd: {rate: 0.1}}}\nbatch: 16\n");
  const CommandResult result = place.hadal({"speech", "align", "recipe.yaml", "--out", "run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("4/4  gmm: 9 states, 20 Gaussians"), std::string::npos) << result.out;
  EXPECT_TRUE(place.has("run/gmm/gmm.safetensors"));
  EXPECT_EQ(place.read("run/gmm/states.txt").find("hadal-states-1 3 3\n0 SIL 0 * * * "), 0u);
  ArchiveReader alignments(place.path("run/gmm/train.ali.ark"));
  int utterances = 0;
  for (; alignments.next_key(); ++utterances) {
    const std::vector<std::int32_t> states = alignments.integers();
    for (const std::int32_t state : states) EXPECT_LT(state, 9);
  }
  EXPECT_EQ(utterances, 18);
}

}  // namespace
}  // namespace hadal
