#include "speech/held_out.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace hadal {
namespace {

FeatureSet speakers_with(int speakers, int utterances, int copies) {
  FeatureSet set;
  set.dim = 1;
  for (int copy = 0; copy <= copies; ++copy) {
    const std::string suffix = copy == 0 ? "" : fmt::format("-copy{}", copy);
    for (int i = 0; i < speakers * utterances; ++i) {
      const std::string speaker = fmt::format("s{}", i / utterances), id = fmt::format("{}-{}", speaker, i);
      set.utterances.push_back({id + suffix, speaker + suffix, id, copy, {}, FeatureMatrix(1, 1)});
    }
  }
  return set;
}

std::set<std::string> speakers_of(const FeatureSet& set) {
  std::set<std::string> names;
  for (const UtteranceFeatures& utterance : set.utterances)
    names.insert(utterance.speaker.substr(0, utterance.speaker.find('-')));
  return names;
}

TEST(HeldOut, takes_whole_speakers_and_their_copies) {
  FeatureSet train = speakers_with(20, 3, 2);
  const FeatureSet held_out = take_held_out(train, 0.1, 1);
  EXPECT_EQ(held_out.utterances.size(), 6u);  // originals alone
  EXPECT_EQ(train.utterances.size(), 18u * 3 * 3);
  for (const std::string& speaker : speakers_of(held_out)) EXPECT_FALSE(speakers_of(train).contains(speaker));
}

TEST(HeldOut, takes_utterances_where_speakers_are_few) {
  FeatureSet train = speakers_with(2, 10, 1);
  const FeatureSet held_out = take_held_out(train, 0.1, 1);
  EXPECT_EQ(held_out.utterances.size(), 2u);
  EXPECT_EQ(train.utterances.size(), 36u);
}

TEST(HeldOut, follows_the_seed) {
  const auto chosen = [](std::uint64_t seed) {
    FeatureSet train = speakers_with(30, 1, 0);
    return speakers_of(take_held_out(train, 0.2, seed));
  };
  EXPECT_EQ(chosen(1), chosen(1));
  EXPECT_NE(chosen(1), chosen(2));
  FeatureSet train = speakers_with(2, 1, 0);
  EXPECT_TRUE(take_held_out(train, 0, 1).utterances.empty());
  FeatureSet one = speakers_with(1, 1, 0);
  EXPECT_THROW(take_held_out(one, 0.1, 1), DataError);
}

}  // namespace
}  // namespace hadal
