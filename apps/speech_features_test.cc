// hadal speech features, as a user runs it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "speech/audio_file.h"
#include "testing/workplace.h"

namespace hadal::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class SpeechFolder : public Workplace {
 public:
  SpeechFolder() {
    std::filesystem::create_directories(path("data"));
    for (const char* name : {"one", "two"}) {
      std::vector<float> samples(6000);
      for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<float>((i * i) % 997) - 500;
      write_wav(path("data/" + std::string(name) + ".wav"), {8000, samples});
    }
    write("data/wav.scp", "one one.wav\ntwo two.wav\n");
    write("data/text", "one WORD\ntwo TWO WORDS\n");
  }
};

TEST(SpeechFeatures, are_made_and_may_be_used_as_given) {
  const SpeechFolder place;
  const CommandResult made =
      place.hadal({"speech", "features", "data", "--out", "fbank", "--set", "features.kind=fbank", "--set",
                   "features.deltas=0", "--svg", "drawings", "--json"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.json().at("dim"), 23);
  EXPECT_EQ(made.json().at("utterances"), 2);
  EXPECT_EQ(made.json().at("frames"), 2 * (1 + (12000 - 400) / 160));
  EXPECT_THAT(place.read("drawings/two.svg"), HasSubstr("two: TWO WORDS"));
  EXPECT_EQ(place.read("fbank/text"), place.read("data/text"));

  const CommandResult again =
      place.hadal({"speech", "features", "fbank", "--out", "deltas", "--set", "features.kind=given"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, "deltas: 2 utterances, 146 frames of 69 numbers\n");
}

TEST(SpeechFeatures, the_same_bytes_each_time) {
  const SpeechFolder place;
  for (const char* threads : {"1", "4"}) {
    const CommandResult result =
        place.hadal({"speech", "features", "data", "--out", threads, "--threads", threads, "--set", "augment.copies=2",
                     "--set", "augment.speed=[0.9,1.1]", "--set", "augment.noise_db=[5,20]"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(place.read("1/feats.ark"), place.read("4/feats.ark"));
  EXPECT_THAT(place.read("1/utt2spk"), HasSubstr("two-copy2 two-copy2\n"));
}

TEST(SpeechFeatures, say_what_is_wrong) {
  const SpeechFolder place;
  place.write("data/wav.scp", "one one.wav\ntwo missing.wav\n");
  const CommandResult fails = place.hadal({"speech", "features", "data", "--out", "out"});
  EXPECT_EQ(fails.exit_code, 2);
  EXPECT_THAT(fails.err, StartsWith("hadal: data/wav.scp:2: there is no file 'missing.wav'"));
  EXPECT_FALSE(place.has("out"));
  const CommandResult file = place.hadal({"speech", "features", "data", "--out", "data/text/more"});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, HasSubstr("data/text/more: data/text is a file, where a folder is wanted; name another"));
  const CommandResult skips = place.hadal({"speech", "features", "data", "--out", "out", "--skip-bad"});
  EXPECT_EQ(skips.exit_code, 0) << skips.err;
  EXPECT_THAT(skips.err, HasSubstr("left out: data/wav.scp:2: there is no file"));
  EXPECT_THAT(skips.out, HasSubstr("1 utterances"));
  const CommandResult key = place.hadal({"speech", "features", "data", "--out", "out", "--set", "features.kid=mfcc"});
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, HasSubstr("did you mean 'kind'"));
}

}  // namespace
}  // namespace hadal::testing
