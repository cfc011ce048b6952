#include "data/image_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/file_list.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> list(const std::string& text) {
  std::vector<std::string> images;
  for (const ListedImage& image : parse_image_list(text, "list.txt")) {
    images.push_back(image.path + "=" + std::to_string(image.label));
  }
  return images;
}

std::string list_error_of(const std::string& text) {
  try {
    list(text);
    return "none";
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(ImageList, with_commas_tabs_or_spaces) {
  EXPECT_THAT(list("a/b c.jpg 3\n\n  d.png   0 \r\n"), ElementsAre("a/b c.jpg=3", "d.png=0"));
  EXPECT_THAT(list("path,label,class\na b.jpg,3,cat\n\"c,d.jpg\",4\n"), ElementsAre("a b.jpg=3", "c,d.jpg=4"));
  EXPECT_THAT(list("a.jpg\t7\tx"), ElementsAre("a.jpg=7"));
  EXPECT_THAT(list(""), ElementsAre());
}

TEST(ImageList, what_is_wrong_is_told_by_its_line) {
  EXPECT_EQ(list_error_of("a.jpg 1\nb.jpg x\n"),
            "list.txt:2: the label 'x' is not a whole number from 0 on; a line is a path, then its label");
  EXPECT_EQ(list_error_of("a.jpg 1\nb.jpg\n"),
            "list.txt:2: the label '' is not a whole number from 0 on; a line is a path, then its label");
  EXPECT_EQ(list_error_of("a.jpg 1\nb.jpg,-1\n"),
            "list.txt:2: the label '-1' is not a whole number from 0 on; a line is a path, then its label");
  EXPECT_EQ(list_error_of("a.jpg 1\n,1\n"), "list.txt:2: there is no path before the label");
  EXPECT_NE(list_error_of("a.jpg 1\n\"b,1\n"), "none");
}

TEST(FileList, braces_stand_for_numbers_or_words) {
  const auto files = [](const std::string& path) { return list_files({path}, {}); };
  EXPECT_THAT(files("no/s-{08..11}.tar"), ElementsAre("no/s-08.tar", "no/s-09.tar", "no/s-10.tar", "no/s-11.tar"));
  EXPECT_THAT(files("no/{9..11}"), ElementsAre("no/9", "no/10", "no/11"));
  EXPECT_THAT(files("no/{a,b}-{0..1}"), ElementsAre("no/a-0", "no/a-1", "no/b-0", "no/b-1"));
  EXPECT_THAT(files("no/{a,{b,c}d,e-{0..1}}.tar"),
              ElementsAre("no/a.tar", "no/bd.tar", "no/cd.tar", "no/e-0.tar", "no/e-1.tar"));
  EXPECT_THAT(files("no/{x{0..1}"), ElementsAre("no/{x0", "no/{x1"));
  EXPECT_THAT(files("no/{x}"), ElementsAre("no/{x}"));
  EXPECT_THAT(files("no/{x"), ElementsAre("no/{x"));
  EXPECT_THROW(files("no/{3..1}"), ConfigError);
  EXPECT_THROW(files("no/{0..9999999}"), ConfigError);
  EXPECT_THROW(files("no/{0..99999}{0..99999}"), ConfigError);
}

}  // namespace
}  // namespace hadal
