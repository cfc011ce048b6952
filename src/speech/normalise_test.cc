#include "speech/normalise.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hadal {
namespace {

FeatureMatrix column(const std::vector<float>& values) {
  FeatureMatrix features(static_cast<std::int64_t>(values.size()), 1);
  features.values = values;
  return features;
}

TEST(Normalise, deltas_of_a_line_are_its_slope) {
  FeatureMatrix line(20, 2);
  for (std::int64_t t = 0; t < 20; ++t) {
    line.row(t)[0] = static_cast<float>(3 * t);
    line.row(t)[1] = 7;
  }
  const FeatureMatrix all = add_deltas(line, 2, 2);
  ASSERT_EQ(all.dim, 6);
  for (std::int64_t t = 4; t < 16; ++t) {
    EXPECT_FLOAT_EQ(all.row(t)[0], static_cast<float>(3 * t));
    EXPECT_NEAR(all.row(t)[2], 3, 1e-5);
    EXPECT_NEAR(all.row(t)[4], 0, 1e-5);
    for (const int i : {3, 5}) EXPECT_NEAR(all.row(t)[static_cast<std::size_t>(i)], 0, 1e-5);
  }
}

// By the weights of Kaldi's DeltaFeatures: (-2 -1 0 1 2) / 10, twice, with the first frame repeated.
TEST(Normalise, deltas_at_the_edge) {
  const FeatureMatrix all = add_deltas(column({1, 0, 0, 0, 0, 0, 0}), 2, 2);
  EXPECT_NEAR(all.row(0)[1], -0.3, 1e-6);  // -2 -1 of 10
  EXPECT_NEAR(all.row(1)[1], -0.3, 1e-6);
  EXPECT_NEAR(all.row(2)[1], -0.2, 1e-6);
  EXPECT_NEAR(all.row(0)[2], (4 + 4 + 1 - 4 - 10) / 100.0, 1e-6);
  EXPECT_NEAR(all.row(4)[2], 4 / 100.0, 1e-6);
}

TEST(Normalise, mean_and_variance) {
  FeatureMatrix a = column({1000, 1002}), b = column({1004, 1006});
  FrameStatistics both;
  both.add(a);
  both.add(b);
  FeatureMatrix copy = a;
  both.apply(copy, true, false);
  EXPECT_EQ(copy.values, (std::vector<float>{-3, -1}));
  both.apply(a, true, true);
  both.apply(b, true, true);
  EXPECT_NEAR(a.values[0], -3 / std::sqrt(5.0), 1e-6);
  EXPECT_NEAR(b.values[1], 3 / std::sqrt(5.0), 1e-6);
}

TEST(Normalise, what_never_changes_stays_finite) {
  FeatureMatrix silence = column(std::vector<float>(50, -15.94238f));
  FrameStatistics statistics;
  statistics.add(silence);
  statistics.apply(silence, true, true);
  for (const float value : silence.values) EXPECT_NEAR(value, 0, 1e-6);
  FeatureMatrix none;
  FrameStatistics().apply(none, true, true);
  EXPECT_EQ(none.frames, 0);
}

TEST(Normalise, an_utterance_by_itself) {
  FeatureMatrix features(30, 3);
  for (std::size_t i = 0; i < features.values.size(); ++i) features.values[i] = static_cast<float>(i * i % 17) + 5;
  const FeatureMatrix finished = finish_utterance(features, {.deltas = 1});
  ASSERT_EQ(finished.dim, 6);
  for (std::size_t c = 0; c < 6; ++c) {
    double sum = 0, square = 0;
    for (std::int64_t t = 0; t < 30; ++t) {
      sum += static_cast<double>(finished.row(t)[c]);
      square += static_cast<double>(finished.row(t)[c]) * static_cast<double>(finished.row(t)[c]);
    }
    EXPECT_NEAR(sum / 30, 0, 1e-6);
    EXPECT_NEAR(square / 30, 1, 1e-5);
  }
}

}  // namespace
}  // namespace hadal
