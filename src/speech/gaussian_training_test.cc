#include "speech/gaussian_training.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "speech/decoder.h"

namespace hadal {

namespace {

using ::testing::HasSubstr;

// Speech that a model of one Gaussian for each phone's state makes: phones SIL 0, A 1, B 2, C 3, D 4; 3 states each.
struct SyntheticSpeech {
  Lexicon lexicon = Lexicon::parse("AB A B\nBAD B A D\nCAD C A D\nDC D C\n", "words");
  std::vector<FeatureMatrix> features;
  std::vector<std::vector<std::int32_t>> words, boundaries;  // boundaries: the first frame of each word
  std::vector<TrainingUtterance> utterances;

  SyntheticSpeech(std::int64_t count, std::uint32_t number) {
    const HmmStates states(lexicon, {});
    const RandomSequence random(11, RandomUse::self_test, number);
    for (std::int64_t u = 0; u < count; ++u) {
      std::uint64_t draw = static_cast<std::uint64_t>(u) << 20;
      std::vector<std::int32_t> said, begins;
      std::vector<float> rows;
      const auto say = [&](const std::vector<std::int32_t>& chain, std::uint32_t least) {
        for (const std::int32_t state : chain) {
          for (std::uint32_t frames = least + random.below(draw++, 5); frames > 0; --frames) {
            for (std::int32_t d = 0; d < 4; ++d) {
              const float mean = 3 * std::sin(static_cast<float>(state * (d + 2) + 7 * d));
              rows.push_back(mean + 0.7f * random.normal(draw++));
            }
          }
        }
      };
      say(states.silence(), 3);
      for (std::uint32_t i = 0; i < 4; ++i) {
        said.push_back(static_cast<std::int32_t>(random.below(draw++, 4)));
        begins.push_back(static_cast<std::int32_t>(rows.size() / 4));
        say(states.chain(said.back(), lexicon.pronunciations(said.back())[0]), 1);
        if (random.below(draw++, 2) == 0) say(states.silence(), 2);
      }
      say(states.silence(), 3);
      FeatureMatrix matrix;
      matrix.dim = 4;
      matrix.frames = static_cast<std::int64_t>(rows.size()) / 4;
      matrix.values = std::move(rows);
      features.push_back(std::move(matrix));
      words.push_back(said);
      boundaries.push_back(begins);
    }
    for (std::size_t u = 0; u < features.size(); ++u) {
      utterances.push_back({"utt" + std::to_string(u), words[u], &features[u]});
    }
  }
};

GmmTrainingOptions small_training_options(Context context) {
  return {.hmm = {.context = context, .least_frames = 40}, .gmm = {.gaussians = 60, .iterations = 16}, .threads = 1};
}

TEST(GaussianTraining, finds_words_and_their_boundaries_from_transcripts_alone) {
  const SyntheticSpeech train(60, 0), test(20, 1);
  for (const Context context : {Context::phone, Context::triphone, Context::word}) {
    GmmTraining trained = train_gaussians(train.lexicon, train.utterances, small_training_options(context));
    EXPECT_EQ(trained.states.size() > 15, context != Context::phone);
    int near = 0, all = 0;
    for (std::size_t u = 0; u < train.utterances.size(); ++u) {
      ASSERT_TRUE(trained.alignments[u]);
      for (std::size_t w = 0; w < train.boundaries[u].size(); ++w, ++all) {
        near += std::abs(trained.alignments[u]->words[w].first - train.boundaries[u][w]) <= 2 ? 1 : 0;
      }
    }
    EXPECT_GT(near, all * 95 / 100);
    const DecodeOptions options{.acoustic_scale = 1};
    const NgramModel loop = estimate_ngrams(0, train.lexicon.words(), {});
    const DecodingGraph graph = make_decoding_graph(train.lexicon, trained.states, loop, options);
    for (std::size_t u = 0; u < test.features.size(); ++u) {
      std::vector<std::int32_t> words;
      for (const DecodedWord& word : Decoder(graph, options).decode(trained.model.score(test.features[u])).words) {
        words.push_back(word.word);
      }
      EXPECT_EQ(words, test.words[u]);
    }
  }
}

TEST(GaussianTraining, tells_of_each_iteration_and_the_likelihood_rises) {
  const SyntheticSpeech train(30, 2);
  std::vector<GmmIteration> told;
  const GmmTraining trained =
      train_gaussians(train.lexicon, train.utterances, small_training_options(Context::triphone),
                      [&](const GmmIteration& iteration) { told.push_back(iteration); });
  ASSERT_EQ(told.size(), 32u);
  EXPECT_EQ(told[0].stage, "phone");
  EXPECT_EQ(told[31].stage, "triphone");
  EXPECT_GT(told[15].log_likelihood, told[0].log_likelihood + 1);
  EXPECT_EQ(told[31].gaussians, 60);
  EXPECT_EQ(trained.model.states(), trained.states.size());
}

TEST(GaussianTraining, does_not_depend_on_threads) {
  const SyntheticSpeech train(20, 3);
  GmmTrainingOptions options = small_training_options(Context::triphone);
  options.gmm.iterations = 6;
  GmmTraining one = train_gaussians(train.lexicon, train.utterances, options);
  options.threads = 3;
  GmmTraining three = train_gaussians(train.lexicon, train.utterances, options);
  EXPECT_EQ(one.states.states(), three.states.states());
  EXPECT_EQ(one.model.score(train.features[0]).values, three.model.score(train.features[0]).values);
}

std::string training_error(const SyntheticSpeech& speech, BadSample on_short) {
  GmmTrainingOptions options = small_training_options(Context::phone);
  options.gmm.iterations = 2;
  options.on_short = on_short;
  try {
    const GmmTraining trained = train_gaussians(speech.lexicon, speech.utterances, options);
    return trained.left_out.count == 0 ? "" : trained.left_out.named[0];
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(GaussianTraining, short_utterances_are_fatal_or_left_out_by_name) {
  SyntheticSpeech speech(5, 4);
  speech.features[3].frames = 5;
  speech.features[3].values.resize(20);
  EXPECT_THAT(training_error(speech, BadSample::fail), HasSubstr("utt3: has 5 frames, and its words need"));
  EXPECT_THAT(training_error(speech, BadSample::skip), HasSubstr("utt3: has 5 frames, and its words need"));
}

TEST(GaussianTraining, short_utterances_are_counted_and_named_with_their_lines) {
  SyntheticSpeech speech(10, 4);
  for (std::size_t u = 0; u < 10; ++u) {
    speech.utterances[u].where = fmt::format("train/text:{}", u + 1);
    if (u < 2) continue;
    speech.features[u].frames = 5;
    speech.features[u].values.resize(20);
  }
  const std::string error = training_error(speech, BadSample::fail);
  EXPECT_THAT(error, ::testing::StartsWith("train/text:3: utt2: has 5 frames, and its words need "));
  EXPECT_THAT(error, HasSubstr("; such utterances: 8, also utt3 (line 4), utt4 (line 5), utt5 (line 6), utt6 (line 7), "
                               "...; cut them differently, or leave"));
  EXPECT_THAT(training_error(speech, BadSample::skip), ::testing::StartsWith("train/text:3: utt2: has 5 frames"));
}

// The user's recording was long enough.
TEST(GaussianTraining, short_copies_are_left_out_by_name_even_where_utterances_are_fatal) {
  SyntheticSpeech speech(5, 4);
  speech.features[3].frames = 5;
  speech.features[3].values.resize(20);
  speech.utterances[3].is_copy = true;
  GmmTrainingOptions options = small_training_options(Context::phone);
  options.gmm.iterations = 2;
  const GmmTraining trained = train_gaussians(speech.lexicon, speech.utterances, options);
  EXPECT_EQ(trained.left_out.count, 1);
  EXPECT_THAT(trained.left_out.named.at(0), HasSubstr("utt3: has 5 frames"));
}

TEST(GaussianTraining, bad_features_are_named) {
  SyntheticSpeech speech(3, 5);
  speech.features[1].values[9] = INFINITY;
  EXPECT_THAT(training_error(speech, BadSample::fail), HasSubstr("utt1: frame 2 holds a number that is not finite"));
  speech.features[1] = FeatureMatrix(10, 3);
  EXPECT_THAT(training_error(speech, BadSample::fail), HasSubstr("utt1: has 3 numbers a frame, and others have 4"));
}

}  // namespace

}  // namespace hadal
