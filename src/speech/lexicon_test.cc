#include "speech/lexicon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string lexicon_error(const std::string& text) {
  try {
    static_cast<void>(Lexicon::parse(text, "dict"));
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(Lexicon, repeated_words_and_numbered_ones_are_pronunciations) {
  const Lexicon lexicon =
      Lexicon::parse(";;; a comment\nONE\tW AH N\r\n\nTWO T UW\nONE(2) HH W AH N\nONE W AH N\n", "d");
  EXPECT_THAT(lexicon.words(), ElementsAre("ONE", "TWO"));
  EXPECT_THAT(lexicon.phones(), ElementsAre("SIL", "AH", "HH", "N", "T", "UW", "W"));
  EXPECT_THAT(lexicon.pronunciations(0), ElementsAre(ElementsAre(6, 1, 3), ElementsAre(2, 6, 1, 3)));
  EXPECT_EQ(lexicon.word("TWO"), 1);
  EXPECT_EQ(lexicon.word("two"), std::nullopt);
}

TEST(Lexicon, brackets_that_hold_no_number_belong_to_the_word) {
  EXPECT_THAT(Lexicon::parse("(2) A\nX() A\nX(b) A\n", "d").words(), ElementsAre("(2)", "X()", "X(b)"));
}

TEST(Lexicon, comments_and_a_byte_order_mark_are_passed_over) {
  const Lexicon lexicon =
      Lexicon::parse("\xef\xbb\xbf# our words\n#AND MORE OF THIS\nONE W AH N # one, english\nONE(2) HH W AH N\n", "d");
  EXPECT_THAT(lexicon.words(), ElementsAre("ONE"));
  EXPECT_THAT(lexicon.phones(), ElementsAre("SIL", "AH", "HH", "N", "W"));
  EXPECT_THAT(Lexicon::parse("\xef\xbb\xbfONE W\n", "d").words(), ElementsAre("ONE"));
  EXPECT_THAT(lexicon_error("ONE # W AH N\n"), HasSubstr("dict:1: the word 'ONE' has no phones"));
}

TEST(Lexicon, errors_say_file_and_line) {
  EXPECT_THAT(lexicon_error("ONE W AH N\nTWO\n"), HasSubstr("dict:2: the word 'TWO' has no phones"));
  EXPECT_THAT(lexicon_error("<s> SIL\n"), HasSubstr("dict:1: <s> marks where a sentence begins"));
  EXPECT_THAT(lexicon_error("A AH\nB * AH\n"), HasSubstr("dict:2: a phone cannot be named '*'"));
  EXPECT_THAT(lexicon_error("\n\n"), HasSubstr("has no words"));
  EXPECT_THROW(static_cast<void>(Lexicon::read("/nowhere/dict")), ConfigError);
}

TEST(Lexicon, more_pronunciations_than_alignments_can_number_are_an_error) {
  std::string text;
  for (int i = 0; i <= 65'000; ++i) text += "ONE p" + std::to_string(i) + "\n";
  EXPECT_THAT(lexicon_error(text), HasSubstr("dict:65001: 'ONE' has more than 65,000 pronunciations"));
  text = text.substr(0, text.rfind("ONE")) + "ONE p0\n";  // one that is there already counts once
  EXPECT_EQ(Lexicon::parse(text, "dict").pronunciations(0).size(), 65'000U);
}

TEST(Lexicon, unknown_words_are_fatal_or_left_out_by_name) {
  const Lexicon lexicon = Lexicon::parse("SEVEN S\nELEVEN E\n", "dict");
  LeftOut left_out;
  const std::vector<std::string> transcript = {"SEVEN", "ELEVEM"};
  EXPECT_EQ(lexicon.words_of("utt7", transcript, BadSample::skip, left_out), std::nullopt);
  ASSERT_EQ(left_out.count, 1);
  EXPECT_EQ(left_out.named[0], "utt7: the word 'ELEVEM' is not in dict; did you mean 'ELEVEN'?");
  EXPECT_THROW(static_cast<void>(lexicon.words_of("utt7", transcript, BadSample::fail, left_out)), DataError);
  EXPECT_THAT(*lexicon.words_of("utt8", std::vector<std::string>{"ELEVEN"}, BadSample::fail, left_out), ElementsAre(1));
}

}  // namespace

}  // namespace hadal
