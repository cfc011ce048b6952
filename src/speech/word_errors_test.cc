#include "speech/word_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "speech/lexicon.h"

namespace hadal {

namespace {

using ::testing::HasSubstr;

struct ErrorCase {
  const char* reference;
  const char* hypothesis;
  WordErrors errors;
};

const ErrorCase kErrorCases[] = {
    {"a b c", "a b c", {3, 0, 0, 0}},
    {"a b c", "", {3, 0, 3, 0}},
    {"", "a b", {0, 0, 0, 2}},
    {"", "", {0, 0, 0, 0}},
    {"a b c", "a x c", {3, 1, 0, 0}},
    {"a b c", "a c", {3, 0, 1, 0}},
    {"a c", "a b c", {2, 0, 0, 1}},
    {"a b c d", "b c d e", {4, 0, 1, 1}},
    {"a b", "b a", {2, 0, 1, 1}},  // two errors either way; sclite keeps the equal word
    {"the cat sat on the mat", "the cat sit on mat today", {6, 1, 1, 1}},
};

TEST(WordErrors, are_counted_with_the_fewest_errors) {
  for (const ErrorCase& one : kErrorCases) {
    const auto alignment = align_words(split_fields(one.reference), split_fields(one.hypothesis));
    EXPECT_EQ(count_errors(alignment), one.errors) << one.reference << " / " << one.hypothesis;
  }
}

TEST(WordErrors, alignment_pairs_words_in_order) {
  const auto alignment = align_words({"one", "two", "three"}, {"one", "three", "four"});
  const std::vector<AlignedWord> expected = {{"one", "one"}, {"two", ""}, {"three", "three"}, {"", "four"}};
  EXPECT_EQ(alignment, expected);
}

TEST(WordErrors, rates_of_no_words) {
  EXPECT_EQ(WordErrors{}.rate(), 0);
  EXPECT_EQ((WordErrors{0, 0, 0, 2}).rate(), 1);
  EXPECT_DOUBLE_EQ((WordErrors{4, 1, 1, 0}).rate(), 0.5);
}

TEST(WordErrors, files_are_read_and_utterances_matched) {
  const TranscriptFile reference = TranscriptFile::parse("u1 A B\nu2 C\r\n\nu3\n", "ref");
  const TranscriptFile hypothesis = TranscriptFile::parse("\xef\xbb\xbfu1 A X\nu3 D\n", "hyp");
  std::vector<std::string> missing;
  const auto scored = score_transcripts(reference, hypothesis, missing);
  ASSERT_EQ(scored.size(), 3u);
  EXPECT_EQ(scored[0].errors, (WordErrors{2, 1, 0, 0}));
  EXPECT_EQ(scored[1].errors, (WordErrors{1, 0, 1, 0}));
  EXPECT_EQ(scored[2].errors, (WordErrors{0, 0, 0, 1}));
  EXPECT_EQ(missing, std::vector<std::string>{"u2"});
  try {
    static_cast<void>(score_transcripts(reference, TranscriptFile::parse("u4 A\n", "hyp"), missing));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("hyp: the utterance 'u4' is not in ref"));
  }
  try {
    static_cast<void>(TranscriptFile::parse("u1 A\nu1 B\n", "ref"));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("ref:2: the utterance 'u1' is there twice"));
  }
}

std::vector<WordErrors> utterances_with(const std::vector<std::int64_t>& substitutions) {
  std::vector<WordErrors> utterances;
  for (const std::int64_t count : substitutions) utterances.push_back({10, count, 0, 0});
  return utterances;
}

TEST(WordErrors, the_interval_holds_the_rate_and_is_the_same_each_time) {
  std::vector<std::int64_t> counts;
  for (int i = 0; i < 100; ++i) counts.push_back(i % 4 == 0 ? 4 : 0);
  const auto utterances = utterances_with(counts);
  const Interval interval = bootstrap_rate(utterances);
  // The rate is 0.1; of 100 utterances its deviation is sqrt(0.25 * 0.75 / 100) * 0.4 = 0.0173.
  EXPECT_NEAR(interval.low, 0.1 - 1.96 * 0.0173, 0.004);
  EXPECT_NEAR(interval.high, 0.1 + 1.96 * 0.0173, 0.004);
  const Interval again = bootstrap_rate(utterances), other = bootstrap_rate(utterances, {.samples = 500, .seed = 2});
  EXPECT_EQ(again.low, interval.low);
  EXPECT_EQ(again.high, interval.high);
  EXPECT_GT(other.high, other.low);
  const Interval none = bootstrap_rate(utterances_with({1, 1, 1}));
  EXPECT_DOUBLE_EQ(none.low, 0.1);
  EXPECT_DOUBLE_EQ(none.high, 0.1);
}

TEST(WordErrors, a_paired_comparison_sees_small_differences_that_are_everywhere) {
  std::vector<std::int64_t> before, after, shuffled;
  for (int i = 0; i < 60; ++i) {
    before.push_back(i % 6 + 1);
    after.push_back(i % 6);
    shuffled.push_back((i * 7 + 3) % 60 % 6 + (i % 2 == 0 ? 1 : 0));
  }
  const Comparison better = compare_errors(utterances_with(before), utterances_with(after));
  EXPECT_DOUBLE_EQ(better.reduction, 1 - 150.0 / 210);
  EXPECT_LT(better.p, 0.001);
  EXPECT_GT(better.interval.low, 0.2);
  const Comparison same = compare_errors(utterances_with(before), utterances_with(before));
  EXPECT_EQ(same.reduction, 0);
  EXPECT_EQ(same.p, 1);
  const Comparison worse = compare_errors(utterances_with(after), utterances_with(before));
  EXPECT_LT(worse.reduction, 0);
  EXPECT_EQ(worse.p, 1);
}

TEST(WordErrors, confusions_are_listed_by_frequency) {
  std::vector<UtteranceErrors> utterances;
  for (const auto& [reference, hypothesis] :
       std::vector<std::pair<const char*, const char*>>{{"b a", "d a"}, {"b", "d"}, {"a b", "a"}, {"a", "a"}}) {
    utterances.push_back(
        {.name = "u", .errors = {}, .alignment = align_words(split_fields(reference), split_fields(hypothesis))});
  }
  const auto confusions = frequent_confusions(utterances);
  ASSERT_EQ(confusions.size(), 2u);
  EXPECT_EQ(confusions[0].first, (AlignedWord{"b", "d"}));
  EXPECT_EQ(confusions[0].second, 2);
  EXPECT_EQ(confusions[1].first, (AlignedWord{"b", ""}));
}

}  // namespace

}  // namespace hadal
