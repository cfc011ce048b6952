#include "speech/spectrogram_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Spectrogram, has_the_picture_the_spans_and_the_time) {
  FeatureMatrix features(300, 40);
  for (std::size_t i = 0; i < features.values.size(); ++i)
    features.values[i] = static_cast<float>(std::sin(0.01 * static_cast<double>(i)));
  const std::string svg = draw_spectrogram(
      features,
      {.title = "utt <1> & more", .phones = {{0, 99, "AH"}, {100, 101, "LONG"}}, .words = {{0, 299, "A\nWORD"}}});
  EXPECT_THAT(svg, HasSubstr("utt &lt;1&gt; &amp; more"));
  EXPECT_THAT(svg, HasSubstr("href=\"data:image/png;base64,iVBOR"));
  EXPECT_THAT(svg, HasSubstr(">AH</text>"));
  EXPECT_THAT(svg, HasSubstr("<title>LONG</title>"));  // too narrow for a text
  EXPECT_THAT(svg, Not(HasSubstr(">LONG</text>")));
  EXPECT_THAT(svg, HasSubstr("A\\x0aWORD"));
  EXPECT_THAT(svg, HasSubstr(">2.5 s</text>"));
  EXPECT_LT(svg.size(), 30000U);
}

TEST(Spectrogram, strange_features_are_drawn_too) {
  FeatureMatrix features(5, 2);
  features.values[3] = NAN;
  features.values[4] = INFINITY;
  EXPECT_THAT(draw_spectrogram(features, {.columns = 9}), HasSubstr("</svg>"));
  EXPECT_THAT(draw_spectrogram(FeatureMatrix(), {}), HasSubstr("</svg>"));
}

}  // namespace
}  // namespace hadal
