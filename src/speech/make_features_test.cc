#include "speech/make_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "speech/audio_file.h"
#include "testing/command.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr const char* kNames[] = {"u0", "u1", "u2", "u3", "u4", "u5"};

// Six short recordings of two speakers, of tones.
class Tones : public testing::TemporaryFolder {
 public:
  Tones() {
    std::string scp, text, speakers;
    for (int u = 0; u < 6; ++u) {
      std::vector<float> samples(static_cast<std::size_t>(4000 + 300 * u));
      for (std::size_t i = 0; i < samples.size(); ++i) {
        const double t = static_cast<double>(i) / 16000;
        samples[i] = static_cast<float>(3000 * std::sin(2 * std::numbers::pi * (200 + 90 * u + 800 * t) * t));
      }
      const std::string name = kNames[u];
      write_wav(path(name + ".wav"), {16000, samples});
      scp += name + " " + name + ".wav\n";
      text += name + " TONE\n";
      speakers += name + (u < 4 ? " ann\n" : " bob\n");
    }
    write("wav.scp", scp);
    write("text", text);
    write("utt2spk", speakers);
  }
};

void expect_same(const FeatureSet& a, const FeatureSet& b) {
  ASSERT_EQ(a.utterances.size(), b.utterances.size());
  for (std::size_t u = 0; u < a.utterances.size(); ++u) {
    EXPECT_EQ(a.utterances[u].id, b.utterances[u].id);
    EXPECT_EQ(a.utterances[u].speaker, b.utterances[u].speaker);
    EXPECT_EQ(a.utterances[u].words, b.utterances[u].words);
    EXPECT_EQ(a.utterances[u].features.values, b.utterances[u].features.values);
  }
}

TEST(MakeFeatures, normalised_by_speaker_with_deltas) {
  const Tones data;
  const FeatureSet set = make_features(data.path(), {});
  EXPECT_EQ(set.dim, 39);
  ASSERT_EQ(set.utterances.size(), 6U);
  EXPECT_TRUE(set.has_text);
  EXPECT_NEAR(set.audio_seconds, (6 * 4000 + 300 * 15) / 16000.0, 1e-9);
  for (const char* speaker : {"ann", "bob"}) {
    for (const std::size_t c : {0U, 5U, 20U, 38U}) {
      double sum = 0, square = 0, frames = 0;
      for (const auto& utterance : set.utterances) {
        if (utterance.speaker != speaker) continue;
        for (std::int64_t t = 0; t < utterance.features.frames; ++t) {
          const auto value = static_cast<double>(utterance.features.row(t)[c]);
          sum += value, square += value * value, ++frames;
        }
      }
      EXPECT_NEAR(sum / frames, 0, 1e-5);
      EXPECT_NEAR(square / frames, 1, 1e-4);
    }
  }
}

TEST(MakeFeatures, the_same_whatever_the_threads) {
  const Tones data;
  FeatureJob job;
  job.augment = {.copies = 2, .speed_low = 0.9, .speed_high = 1.1, .noise_db_low = 10, .noise_db_high = 20};
  job.threads = 1;
  const FeatureSet one = make_features(data.path(), job);
  EXPECT_EQ(one.utterances.size(), 18U);
  EXPECT_EQ(one.utterances[6].id, "u0-copy1");
  EXPECT_EQ(one.utterances[6].speaker, "ann-copy1");
  EXPECT_EQ(one.utterances[6].source, "u0");
  EXPECT_NE(one.utterances[6].features.values, one.utterances[12].features.values);
  for (const int threads : {2, 5}) {
    job.threads = threads;
    expect_same(make_features(data.path(), job), one);
  }
  job.augment.copies = 0;  // the originals do not depend on copies
  const FeatureSet originals = make_features(data.path(), job);
  EXPECT_EQ(originals.utterances[3].features.values, one.utterances[3].features.values);
}

TEST(MakeFeatures, copies_must_not_be_called_like_others) {
  const Tones data;
  const auto rename = [&](const std::string& from, const std::string& to) {
    for (const char* file : {"wav.scp", "text", "utt2spk"}) {
      std::string all = testing::contents(data.path(file));
      for (std::size_t at = all.find(from); at != std::string::npos; at = all.find(from, at + to.size())) {
        all.replace(at, from.size(), to);
      }
      data.write(file, all);
    }
  };
  rename("u5 ", "u1-copy2 ");
  FeatureJob job;
  job.augment = {.copies = 1, .gain_db_low = -3, .gain_db_high = 3};
  EXPECT_EQ(make_features(data.path(), job).utterances.size(), 12U);
  job.augment.copies = 2;
  EXPECT_THAT([&] { make_features(data.path(), job); },
              ThrowsMessage<ConfigError>(HasSubstr("wav.scp:2:1: augment.copies: copy 2 of the utterance 'u1' would be "
                                                   "called 'u1-copy2', as another utterance is; rename it")));
  rename("u1-copy2 ", "u5 ");
  rename(" bob", " ann-copy1");
  EXPECT_THAT([&] { make_features(data.path(), job); },
              ThrowsMessage<ConfigError>(HasSubstr("copy 1 of the speaker 'ann' would be called 'ann-copy1'")));
}

TEST(MakeFeatures, modes_of_normalising) {
  const Tones data;
  FeatureJob job;
  job.features.deltas = 0;
  job.features.mean = Normalise::utterance;
  job.features.variance = Normalise::none;
  const FeatureSet set = make_features(data.path(), job);
  for (const auto& utterance : set.utterances) {
    double sum = 0;
    for (std::int64_t t = 0; t < utterance.features.frames; ++t)
      sum += static_cast<double>(utterance.features.row(t)[1]);
    EXPECT_NEAR(sum / static_cast<double>(utterance.features.frames), 0, 1e-4);
  }
  const Audio audio = read_audio(data.path("u2.wav"), 16000);
  EXPECT_EQ(features_of_audio(audio.samples, job.features).values, set.utterances[2].features.values);
}

TEST(MakeFeatures, a_folder_is_written_and_read) {
  const Tones data;
  const FeatureSet set = make_features(data.path(), {});
  write_feature_folder(data.path("out/here"), set);
  const FeatureSet read = read_feature_folder(data.path("out/here"));
  expect_same(read, set);
  EXPECT_EQ(read.dim, 39);
  EXPECT_EQ(testing::lines(testing::contents(data.path("out/here/feats.scp")))[0], "u0 feats.ark:3");
  std::filesystem::rename(data.path("out/here"), data.path("moved"));
  expect_same(read_feature_folder(data.path("moved")), set);
}

TEST(MakeFeatures, segments_are_cut) {
  const Tones data;
  data.write("segments", "u0 r 0 0.1\nu1 r 0.1 0.2\nu2 r 0.2 -1\nu3 r 0 -1\nu4 r 0.05 9\nu5 r 0.1 0.2\n");
  data.write("wav.scp", "r u0.wav\n");
  FeatureJob job;
  job.features.snip_edges = false;
  const FeatureSet set = make_features(data.path(), job);
  std::vector<std::int64_t> frames;
  for (const auto& utterance : set.utterances) frames.push_back(utterance.features.frames);
  EXPECT_THAT(frames, ElementsAre(10, 10, 5, 25, 20, 10));
  data.write("segments", "u0 r 0 0.1\nu1 r 0.9 1\nu2 r 0.2 -1\nu3 r 0 -1\nu4 r 0.05 9\nu5 r 0.1 0.2\n");
  EXPECT_THAT([&] { make_features(data.path(), job); },
              ThrowsMessage<DataError>(HasSubstr("segments:2:1: 'u1' begins at 0.9 s")));
}

TEST(MakeFeatures, bad_recordings_are_fatal_or_left_out) {
  const Tones data;
  data.write("u1.wav", "");
  data.write("u3.wav", "no sound");
  write_wav(data.path("u4.wav"), {16000, std::vector<float>(200, 1)});
  FeatureJob job;
  for (const int threads : {1, 4}) {
    job.threads = threads;
    EXPECT_THAT([&] { make_features(data.path(), job); }, ThrowsMessage<DataError>(HasSubstr("u1.wav: is empty")));
  }
  job.on_bad = BadSample::skip;
  const FeatureSet set = make_features(data.path(), job);
  ASSERT_EQ(set.utterances.size(), 3U);
  EXPECT_EQ(set.left_out.count, 3);
  EXPECT_THAT(set.left_out.named[2], HasSubstr("u4.wav: 'u4' has 0.013 s, less than a frame"));
}

TEST(MakeFeatures, silence_gives_finite_numbers) {
  const Tones data;
  for (const char* name : kNames) write_wav(data.path(std::string(name) + ".wav"), {16000, std::vector<float>(4000)});
  FeatureJob job;
  job.features.use_energy = true;
  for (const auto& utterance : make_features(data.path(), job).utterances) {
    for (const float value : utterance.features.values) EXPECT_LT(std::abs(value), 1e-3);
  }
}

TEST(MakeFeatures, jobs_that_cannot_be) {
  const Tones data;
  FeatureJob job;
  job.features.kind = FeatureKind::given;
  job.augment.copies = 1;
  EXPECT_THAT([&] { make_features(data.path(), job); }, ThrowsMessage<ConfigError>(HasSubstr("augment.copies")));
  job.features = {.deltas = 9};
  EXPECT_THAT([&] { make_features(data.path(), job); }, ThrowsMessage<ConfigError>(HasSubstr("features.deltas: 9")));
}

}  // namespace
}  // namespace hadal
