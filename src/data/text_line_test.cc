#include "data/text_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::ElementsAre;

struct Parsed {
  std::vector<float> values;
  std::int64_t label = -7;
  std::string error;  // "COLUMN: MESSAGE", or empty
};

template <class Format>
Parsed parse(const Format& format, std::string_view line, std::size_t values) {
  Parsed parsed;
  parsed.values.assign(values, 99);
  if (const auto error = parse_line(format, line, parsed.values, parsed.label)) {
    parsed.error = std::to_string(error->column) + ": " + error->message;
  }
  return parsed;
}

Parsed libsvm(std::string_view line, std::int64_t first_index = 1) { return parse(LibsvmFormat{first_index}, line, 3); }

TEST(Libsvm, names_the_features_that_are_not_0) {
  const Parsed line = libsvm("2 1:0.5 3:-1e-2 # 2:7");
  EXPECT_EQ(line.error, "");
  EXPECT_EQ(line.label, 2);
  EXPECT_THAT(line.values, ElementsAre(0.5f, 0.f, -0.01f));
  EXPECT_THAT(libsvm("0").values, ElementsAre(0.f, 0.f, 0.f));
  EXPECT_THAT(libsvm(" +1\t2:+3 \r").values, ElementsAre(0.f, 3.f, 0.f));
  EXPECT_THAT(libsvm("1 0:4", 0).values, ElementsAre(4.f, 0.f, 0.f));
  EXPECT_EQ(libsvm("1 1:1e-400").error, "");  // too small is 0
}

TEST(Libsvm, labels) {
  EXPECT_EQ(libsvm("+1 1:2").label, 1);
  EXPECT_EQ(libsvm("-1 1:2").label, 0);
  EXPECT_EQ(libsvm("1.0 1:2").label, 1);
  EXPECT_EQ(libsvm_label("-1 1:2"), -1);
  EXPECT_EQ(libsvm_label("x 1:2"), std::nullopt);
}

TEST(Libsvm, what_is_wrong_is_told_at_its_column) {
  EXPECT_EQ(libsvm("x 1:2").error, "1: the label 'x' is not a whole number");
  EXPECT_EQ(libsvm("1.5 1:2").error, "1: the label '1.5' is not a whole number");
  EXPECT_EQ(libsvm("1 2").error, "3: '2' is not INDEX:VALUE");
  EXPECT_EQ(libsvm("1 :2").error, "3: ':2' is not INDEX:VALUE");
  EXPECT_EQ(libsvm("1 qid:2").error, "3: 'qid:2' is not INDEX:VALUE");
  EXPECT_EQ(libsvm("1 1:2 2:").error, "9: '' is not a number");
  EXPECT_EQ(libsvm("1 1:2 2:2x").error, "9: '2x' is not a number");
  EXPECT_EQ(libsvm("1 1:nan").error, "5: 'nan' is not finite");
  EXPECT_EQ(libsvm("1 1:1e39").error, "5: '1e39' is not finite");
  EXPECT_EQ(libsvm("1 1:1e999").error, "5: '1e999' is not finite");
  EXPECT_EQ(libsvm("1 0:2").error, "3: index 0 is below the first, 1; is first_index: 0 meant?");
  EXPECT_EQ(libsvm("1 4:2").error, "3: index 4 is past the 3 numbers of the network's input");
  EXPECT_EQ(libsvm("1 3:2", 0).error, "3: index 3 is past the 3 numbers of the network's input");
  EXPECT_EQ(libsvm("1 2:2 2:3").error, "7: index 2 comes after 2: indices rise");
  EXPECT_EQ(libsvm("1 99999999999999999999:1").error, "3: '99999999999999999999:1' is not INDEX:VALUE");
}

Parsed csv(std::string_view line, char delimiter = ',') {
  return parse(CsvFormat{.delimiter = delimiter, .label = 1, .columns = 3}, line, 2);
}

TEST(Csv, fields_as_rfc_4180_has_them) {
  const Parsed line = csv("0.5,2,-1e-2\r");
  EXPECT_EQ(line.error, "");
  EXPECT_EQ(line.label, 2);
  EXPECT_THAT(line.values, ElementsAre(0.5f, -0.01f));
  EXPECT_THAT(csv("\"0.5\" , \"2\",\" 7 \"").values, ElementsAre(0.5f, 7.f));
  EXPECT_EQ(csv("0.5;2", ';').error, "6: the line ends after 2 of 3 columns");
  EXPECT_THAT(csv("1\t2\t3", '\t').values, ElementsAre(1.f, 3.f));
  std::vector<CsvField> fields;
  EXPECT_FALSE(split_csv("a,\"b,\"\"c\"\"\",,d", ',', fields));
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[1].text, "b,\"c\"");
  EXPECT_EQ(fields[2].text, "");
  EXPECT_EQ(fields[3].column, 14u);
}

TEST(Csv, what_is_wrong_is_told_at_its_column) {
  EXPECT_EQ(csv("1,2").error, "4: the line ends after 2 of 3 columns");
  EXPECT_EQ(csv("1,2,3,4").error, "7: there are more than 3 columns");
  EXPECT_EQ(csv("1,2,").error, "5: '' is not a number");
  EXPECT_EQ(csv("1,2,3,").error, "7: there are more than 3 columns");
  EXPECT_EQ(csv("1,two,3").error, "3: the label 'two' is not a whole number");
  EXPECT_EQ(csv("1,2,inf").error, "5: 'inf' is not finite");
  EXPECT_EQ(csv("1,2,\"3").error, "5: a quote begins here and does not end in the line");
  EXPECT_EQ(csv("\"1\"x,2,3").error, "4: text follows the end of a quoted field");
}

TEST(TextLine, which_lines_are_samples) {
  EXPECT_FALSE(is_sample(LibsvmFormat{}, " # comment"));
  EXPECT_FALSE(is_sample(LibsvmFormat{}, "\r"));
  EXPECT_TRUE(is_sample(LibsvmFormat{}, "1 # comment"));
  EXPECT_FALSE(is_sample(CsvFormat{}, " \t\r"));
  EXPECT_TRUE(is_sample(CsvFormat{}, "1"));
}

}  // namespace
}  // namespace hadal
