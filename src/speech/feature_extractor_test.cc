#include "speech/feature_extractor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "base/error.h"
#include "speech/archive.h"
#include "speech/audio_file.h"
#include "testing/shared_data.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<float> sine(double hz, double rate, std::size_t count, double size = 8000) {
  std::vector<float> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    samples[i] = static_cast<float>(size * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate));
  }
  return samples;
}

struct KaldiOutput {
  const char* file;
  FeatureOptions options;
};
void PrintTo(const KaldiOutput& output, std::ostream* out) { *out << output.file; }

class KaldiFeatures : public ::testing::TestWithParam<KaldiOutput> {};

// What Kaldi's own programs made of the same recording, as text of seven digits.
TEST_P(KaldiFeatures, are_ours) {
  const auto folder = testing::shared_folder() / "data/fixture_kaldi/kaldifeat";
  const std::string golden = folder / GetParam().file;
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << golden << " is not there";
  ArchiveReader archive(golden);
  ASSERT_EQ(archive.next_key(), "1");
  const FeatureMatrix expected = archive.matrix();
  const Audio audio = read_audio(folder / "test.wav", 16000);
  const FeatureMatrix features = FeatureExtractor(GetParam().options).compute(audio.samples);
  ASSERT_EQ(features.frames, expected.frames);
  ASSERT_EQ(features.dim, expected.dim);
  // Both round in single precision, each in its own way: filters that hear little beside a loud tone have the rounding
  // of that tone. (In double precision, the largest difference to Kaldi's is the same.)
  double worst = 0, sum = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double difference =
        std::abs(static_cast<double>(features.values[i]) - static_cast<double>(expected.values[i]));
    worst = std::max(worst, difference);
    sum += difference;
  }
  const bool cepstra = GetParam().options.kind == FeatureKind::mfcc;
  EXPECT_LT(sum / static_cast<double>(expected.values.size()), cepstra ? 5e-3 : 4e-4);
  EXPECT_LT(worst, cepstra ? 0.1 : 0.05);
  if (cepstra) return;
  for (std::int64_t t = 0; t < expected.frames; ++t) {
    const auto ours = features.row(t), theirs = expected.row(t);
    const double loudest = std::exp(0.5 * static_cast<double>(*std::max_element(theirs.begin(), theirs.end())));
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const double amplitude = std::exp(0.5 * static_cast<double>(theirs[i]));
      EXPECT_NEAR(std::exp(0.5 * static_cast<double>(ours[i])), amplitude, 4e-6 * (loudest + amplitude));
    }
  }
}

constexpr FeatureKind kFbank = FeatureKind::fbank, kMfcc = FeatureKind::mfcc;
INSTANTIATE_TEST_SUITE_P(All, KaldiFeatures,
                         ::testing::Values(KaldiOutput{"test.txt", {.kind = kFbank}},
                                           KaldiOutput{"test-40.txt", {.kind = kFbank, .mel_bins = 40}},
                                           KaldiOutput{"test-40-no-snip-edges.txt",
                                                       {.kind = kFbank, .snip_edges = false, .mel_bins = 40}},
                                           KaldiOutput{"test-with-energy.txt", {.kind = kFbank, .use_energy = true}},
                                           KaldiOutput{"test-mfcc.txt", {.kind = kMfcc, .use_energy = true}},
                                           KaldiOutput{"test-mfcc-no-snip-edges.txt",
                                                       {.kind = kMfcc, .snip_edges = false, .use_energy = true}}));

TEST(FeatureExtractor, a_tone_is_loudest_in_its_filter) {
  const FeatureExtractor extractor({.kind = kFbank, .mel_bins = 40});
  std::int64_t last = -1;
  for (const double hz : {300.0, 1000.0, 3000.0, 6000.0}) {
    const FeatureMatrix features = extractor.compute(sine(hz, 16000, 4000));
    ASSERT_EQ(features.frames, 1 + (4000 - 400) / 160);
    const auto row = features.row(5);
    const auto loudest = std::max_element(row.begin(), row.end()) - row.begin();
    // Its middle in mel, by the filters' definition.
    const auto mel = [](double f) { return 1127 * std::log(1 + f / 700); };
    const double place = (mel(hz) - mel(20)) / ((mel(8000) - mel(20)) / 41) - 1;
    EXPECT_NEAR(static_cast<double>(loudest), place, 1.01) << hz;
    EXPECT_GT(loudest, last);
    last = loudest;
  }
}

TEST(FeatureExtractor, twice_as_loud_adds_the_logarithm_of_four) {
  const FeatureExtractor fbank({.kind = kFbank}), mfcc({.kind = kMfcc});
  const auto soft = sine(700, 16000, 2000, 1000), loud = sine(700, 16000, 2000, 2000);
  const FeatureMatrix a = fbank.compute(soft), b = fbank.compute(loud);
  for (std::size_t i = 0; i < a.values.size(); ++i) EXPECT_NEAR(b.values[i] - a.values[i], std::log(4.0), 1e-3);
  const FeatureMatrix c = mfcc.compute(soft), d = mfcc.compute(loud);
  // The first cepstrum has it, the others do not hear loudness.
  EXPECT_NEAR(d.values[0] - c.values[0], std::sqrt(23.0) * std::log(4.0), 1e-2);
  for (std::size_t i = 1; i < 13; ++i) EXPECT_NEAR(d.values[i], c.values[i], 1e-2);
}

TEST(FeatureExtractor, frames_are_counted_as_kaldi_counts) {
  const FeatureExtractor snip({.kind = kFbank}), whole({.kind = kFbank, .snip_edges = false});
  EXPECT_EQ(snip.frames(399), 0);
  EXPECT_EQ(snip.frames(400), 1);
  EXPECT_EQ(snip.frames(559), 1);
  EXPECT_EQ(snip.frames(560), 2);
  EXPECT_EQ(whole.frames(79), 0);
  EXPECT_EQ(whole.frames(80), 1);
  EXPECT_EQ(whole.frames(16000), 100);
  EXPECT_EQ(whole.compute(sine(500, 16000, 90)).frames, 1);  // mirrored many times over
  EXPECT_EQ(whole.compute({}).frames, 0);
}

TEST(FeatureExtractor, silence_is_finite) {
  const std::vector<float> silence(3000);
  for (const FeatureKind kind : {kFbank, kMfcc}) {
    const FeatureMatrix features = FeatureExtractor({.kind = kind, .use_energy = true}).compute(silence);
    for (const float value : features.values) EXPECT_TRUE(std::isfinite(value));
    EXPECT_NEAR(features.values[0], std::log(1.1920929e-7), 1e-4);
  }
  const FeatureMatrix floored = FeatureExtractor({.use_energy = true, .energy_floor = 10}).compute(silence);
  EXPECT_NEAR(floored.values[0], std::log(10.0), 1e-5);
}

TEST(FeatureExtractor, options_that_do_not_go_together) {
  const auto refused = [](const FeatureOptions& options, const char* message) {
    EXPECT_THAT([&] { FeatureExtractor{options}; }, ThrowsMessage<ConfigError>(HasSubstr(message)));
  };
  refused({.kind = FeatureKind::given}, "features.kind");
  refused({.sample_rate = 8000, .high_hz = 5000}, "features.high_hz: 5000 Hz");
  refused({.low_hz = 9000}, "features.low_hz");
  refused({.mel_bins = 10, .cepstra = 13}, "features.cepstra: 13 is not from 1 to mel_bins, which is 10");
  refused({.sample_rate = 8000, .mel_bins = 128}, "hears no frequency");
  refused({.frame_shift_ms = 0}, "features.frame_shift_ms");
}

}  // namespace
}  // namespace hadal
