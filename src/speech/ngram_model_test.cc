#include "speech/ngram_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "speech/lexicon.h"

namespace hadal {

namespace {

using ::testing::HasSubstr;

constexpr char kBigram[] = R"(a comment before
\data\
ngram 1=4
ngram 2=3

\1-grams:
-99 <s> -0.5
-1 </s>
-0.5 A -0.25
-0.75 B

\2-grams:
-0.1 <s> A
-0.3 A B
-0.4 A </s>

\end\
)";

std::string arpa_error(const std::string& text) {
  try {
    static_cast<void>(NgramModel::parse(text, "lm"));
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

double log10_of(const NgramModel& model, const char* sentence) {
  return model.score_sentence(split_fields(sentence)) / std::numbers::ln10;
}

TEST(NgramModel, sentences_are_scored_with_backing_off) {
  const NgramModel model = NgramModel::parse(kBigram, "lm");
  EXPECT_EQ(model.order(), 2);
  EXPECT_NEAR(log10_of(model, "A B"), -0.1 - 0.3 - 1, 1e-9);  // B has no weight: 0
  EXPECT_NEAR(log10_of(model, "A"), -0.1 - 0.4, 1e-9);
  EXPECT_NEAR(log10_of(model, "B A A"), (-0.5 - 0.75) + -0.5 + (-0.25 - 0.5) - 0.4, 1e-9);
  EXPECT_NEAR(log10_of(model, ""), -0.5 - 1, 1e-9);
  EXPECT_EQ(log10_of(model, "C"), -INFINITY);
}

TEST(NgramModel, trigrams_fall_back_through_pairs) {
  const NgramModel model = NgramModel::parse(
      "\\data\\\nngram 1=4\nngram 2=2\nngram 3=1\n\\1-grams:\n-99 <s> -0.1\n-1 </s>\n-0.5 A -0.2\n-0.6 B -0.3\n"
      "\\2-grams:\n-0.11 <s> A -0.4\n-0.12 A B -0.7\n\\3-grams:\n-0.01 <s> A B\n\\end\\\n",
      "lm");
  // P(A|<s>) P(B|<s> A) P(A|A B) = weight(A B) weight(B) P(A); P(</s>|B A) = weight(A) P(</s>)
  EXPECT_NEAR(log10_of(model, "A B A"), -0.11 - 0.01 + (-0.7 - 0.3 - 0.5) + (-0.2 - 1), 1e-9);
  EXPECT_NEAR(log10_of(model, "A A"), -0.11 + (-0.4 - 0.2 - 0.5) + (-0.2 - 1), 1e-9);
}

TEST(NgramModel, errors_say_the_line) {
  EXPECT_THAT(arpa_error("no model"), HasSubstr("has no line '\\data\\'"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "ngram 2=3", "ngram 3=3")), HasSubstr("lm:4: the counts of n-grams stand"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "ngram 2=3", "ngram 2=4")), HasSubstr("lm:17: a line is a probability"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "ngram 2=3", "ngram 2=2")), HasSubstr("lm:15: here '\\end\\' is expected"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "-0.5 A -0.25", "x A")), HasSubstr("lm:9: 'x' is not the logarithm"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "-0.5 A -0.25", "0.5 A")), HasSubstr("lm:9: the logarithm of a prob"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "-0.3 A B", "-0.3 A C")), HasSubstr("lm:14: the word 'C' is not among"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "-0.3 A B", "-0.3 <s> A")), HasSubstr("lm:14: this n-gram is there twice"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "-0.75 B", "-0.75 A")), HasSubstr("lm:10: the word 'A' is there twice"));
  EXPECT_THAT(arpa_error(replaced(kBigram, "\\end\\", "")), HasSubstr("'\\end\\' is expected"));
  EXPECT_THAT(arpa_error("\\data\\\nngram 1=1\n\\1-grams:\n-1 A\n\\end\\\n"), HasSubstr("has no word </s>"));
  EXPECT_THROW(static_cast<void>(NgramModel::read("/nowhere/lm.arpa")), ConfigError);
}

TEST(NgramModel, a_byte_order_mark_is_passed_over) {
  EXPECT_EQ(NgramModel::parse(std::string("\xef\xbb\xbf") + kBigram, "lm").to_text(),
            NgramModel::parse(kBigram, "lm").to_text());
}

TEST(NgramModel, text_is_read_back) {
  const NgramModel model = NgramModel::parse(kBigram, "lm");
  const NgramModel again = NgramModel::parse(model.to_text(), "again");
  EXPECT_EQ(again.to_text(), model.to_text());
  EXPECT_NEAR(log10_of(again, "B A A"), log10_of(model, "B A A"), 1e-6);
}

// Of each history: of all words and the end, 1.
double largest_error_of_sums(const NgramModel& model) {
  double error = 0;
  for (std::size_t h = 0; h < model.histories().size(); ++h) {
    double sum = 0;
    for (std::size_t w = 0; w < model.words().size(); ++w) {
      auto history = static_cast<std::int32_t>(h);
      const auto word = static_cast<std::int32_t>(w);
      if (word != model.begin()) sum += std::exp(model.score(history, word));
    }
    error = std::max(error, std::abs(sum - 1));
  }
  return error;
}

TEST(EstimateNgrams, equals_numbers_by_hand) {
  // Words A, B, C; transcripts "A B", "A". Counts: A 2, B 1, </s> 2: five words of three kinds.
  const std::vector<std::vector<std::int32_t>> transcripts = {{0, 1}, {0}};
  const NgramModel model = estimate_ngrams(2, {"A", "B", "C"}, transcripts);
  const double a = (2 + 3 * 0.25) / 8, b = (1 + 3 * 0.25) / 8, c = 3 * 0.25 / 8, end = (2 + 3 * 0.25) / 8;
  EXPECT_NEAR(a + b + c + end, 1, 1e-12);
  // <s> was followed by A twice: one kind; A by B and </s>: two kinds; B by </s>: one kind.
  const double a_first = (2 + a) / 3, b_after_a = (1 + 2 * b) / 4, end_after_b = (1 + end) / 2;
  EXPECT_NEAR(model.score_sentence(split_fields("A B")), std::log(a_first * b_after_a * end_after_b), 1e-9);
  const double c_first = c / 3, end_after_a = (1 + 2 * end) / 4;
  EXPECT_NEAR(model.score_sentence(split_fields("C A")), std::log(c_first * a * end_after_a), 1e-9);
}

TEST(EstimateNgrams, probabilities_sum_to_one_after_each_history) {
  std::vector<std::vector<std::int32_t>> transcripts;
  for (std::int32_t i = 0; i < 40; ++i) transcripts.push_back({i % 7, i % 3, (i * i) % 5, i % 2});
  transcripts.emplace_back();
  const std::vector<std::string> words = {"a", "b", "c", "d", "e", "f", "g", "never"};
  for (const int order : {0, 1, 2, 3}) {
    const NgramModel model = estimate_ngrams(order, words, transcripts);
    EXPECT_LT(largest_error_of_sums(model), 1e-9) << order;
    EXPECT_LT(largest_error_of_sums(NgramModel::parse(model.to_text(), "again")), 1e-5) << order;
  }
}

TEST(EstimateNgrams, order_0_is_a_loop_of_equal_words) {
  const NgramModel model = estimate_ngrams(0, {"A", "B", "C"}, std::vector<std::vector<std::int32_t>>{{0}});
  EXPECT_EQ(model.histories().size(), 1u);
  EXPECT_NEAR(model.score_sentence(split_fields("A C")), 3 * std::log(0.25), 1e-12);
}

}  // namespace

}  // namespace hadal
