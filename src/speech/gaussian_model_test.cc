#include "speech/gaussian_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/random.h"
#include "speech/mixture_update.h"
#include "testing/temporary_folder.h"

namespace hadal {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

GaussianMixture two_gaussians() {
  return {.weights = {0.25f, 0.75f}, .means = {0, 1, -2, 3}, .variances = {1, 0.5f, 2, 4}};
}

FeatureMatrix random_features(std::int64_t frames, std::int64_t dim, std::uint32_t number) {
  FeatureMatrix features(frames, dim);
  const RandomSequence random(7, RandomUse::self_test, number);
  for (std::size_t i = 0; i < features.values.size(); ++i) features.values[i] = random.normal(i);
  return features;
}

double density(const GaussianMixture& mixture, std::span<const float> x) {
  double sum = 0;
  for (std::size_t g = 0; g < mixture.weights.size(); ++g) {
    double p = static_cast<double>(mixture.weights[g]);
    for (std::size_t d = 0; d < x.size(); ++d) {
      const auto mean = static_cast<double>(mixture.means[g * x.size() + d]);
      const auto variance = static_cast<double>(mixture.variances[g * x.size() + d]);
      const double distance = static_cast<double>(x[d]) - mean;
      p *= std::exp(-0.5 * distance * distance / variance) / std::sqrt(2 * std::numbers::pi * variance);
    }
    sum += p;
  }
  return sum;
}

TEST(GaussianModel, scores_are_logarithms_of_densities) {
  const GaussianMixture one{.weights = {1}, .means = {1, 1}, .variances = {0.1f, 3}};
  GaussianModel model(2, {two_gaussians(), one});
  const FeatureMatrix features = random_features(131, 2, 0);  // more than two blocks
  const FeatureMatrix scores = model.score(features);
  const FeatureMatrix second = model.score(features, std::vector<std::int32_t>{1});
  ASSERT_EQ(scores.dim, 2);
  for (std::int64_t f = 0; f < features.frames; ++f) {
    EXPECT_NEAR(scores.row(f)[0], std::log(density(two_gaussians(), features.row(f))), 1e-4);
    EXPECT_NEAR(scores.row(f)[1], std::log(density(one, features.row(f))), 1e-4);
    EXPECT_EQ(second.row(f)[0], scores.row(f)[1]);
  }
}

TEST(GaussianModel, far_frames_have_finite_scores_and_none_are_none) {
  GaussianModel model(2, {two_gaussians()});
  FeatureMatrix far(1, 2);
  far.values = {1e6f, -1e6f};
  EXPECT_TRUE(std::isfinite(model.score(far).values[0]));
  EXPECT_EQ(model.score(FeatureMatrix(0, 5)).frames, 0);
  EXPECT_THROW(static_cast<void>(model.score(FeatureMatrix(1, 3))), DataError);
}

TEST(GaussianModel, is_read_back) {
  const testing::TemporaryFolder folder;
  GaussianModel model(2, {two_gaussians(), {.weights = {1}, .means = {5, 6}, .variances = {7, 8}}});
  model.save(folder.path("m.safetensors"));
  GaussianModel again = GaussianModel::load(folder.path("m.safetensors"));
  EXPECT_EQ(again.gaussians(), 3);
  const FeatureMatrix features = random_features(10, 2, 1);
  EXPECT_EQ(again.score(features).values, model.score(features).values);
}

TEST(GaussianModel, damaged_files_are_refused) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(GaussianModel::load(folder.path("none"))), ConfigError);
  EXPECT_THROW(static_cast<void>(GaussianModel::load(folder.write("short", "abc"))), DataError);
  GaussianModel(1, {{.weights = {1}, .means = {0}, .variances = {-1}}}).save(folder.path("negative"));
  try {
    static_cast<void>(GaussianModel::load(folder.path("negative")));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("variances has the value -1"));
  }
}

FramesOfStates all_frames(const FeatureMatrix& features) {
  FramesOfStates frames(1);
  for (std::int64_t f = 0; f < features.frames; ++f) frames[0].push_back({0, static_cast<std::int32_t>(f)});
  return frames;
}

TEST(MixtureUpdate, of_one_gaussian_is_mean_and_variance) {
  const FeatureMatrix features = random_features(5000, 2, 2);
  const FeatureMatrix* view = &features;
  const GaussianModel model(2, {{.weights = {1}, .means = {3, 3}, .variances = {9, 9}}});
  const MixtureUpdate update =
      update_mixtures(model, std::span(&view, 1), all_frames(features), {.variance_floor = {0.01f, 2}});
  double mean = 0, square = 0, likelihood = 0;
  for (std::int64_t f = 0; f < features.frames; ++f) {
    const auto x = static_cast<double>(features.row(f)[0]);
    mean += x / 5000;
    square += x * x / 5000;
    likelihood += std::log(density(model.mixture(0), features.row(f)));
  }
  EXPECT_NEAR(update.mixtures[0].means[0], mean, 1e-6);
  EXPECT_NEAR(update.mixtures[0].variances[0], square - mean * mean, 1e-5);
  EXPECT_EQ(update.mixtures[0].variances[1], 2) << "the floor";
  EXPECT_NEAR(update.log_likelihood / likelihood, 1, 1e-6);
}

TEST(MixtureUpdate, raises_the_likelihood_and_finds_two_clusters) {
  FeatureMatrix features = random_features(2000, 1, 3);
  for (std::int64_t f = 0; f < 2000; ++f) features.row(f)[0] = 0.5f * features.row(f)[0] + (f % 4 == 0 ? 4.0f : -1.0f);
  const FeatureMatrix* view = &features;
  const FramesOfStates frames = all_frames(features);
  GaussianMixture mixture = single_gaussian(std::span(&view, 1), frames[0], std::vector<float>{1e-3f}, {});
  split_mixture(mixture, 2);
  double before = -INFINITY;
  for (int i = 0; i < 20; ++i) {
    const MixtureUpdate update =
        update_mixtures(GaussianModel(1, {mixture}), std::span(&view, 1), frames, {.variance_floor = {1e-3f}});
    EXPECT_GE(update.log_likelihood, before - 1e-3);
    before = update.log_likelihood;
    mixture = update.mixtures[0];
  }
  const std::size_t high = mixture.means[0] > mixture.means[1] ? 0 : 1;
  EXPECT_NEAR(mixture.weights[high], 0.25, 0.01);
  EXPECT_NEAR(mixture.means[high], 4, 0.1);
  EXPECT_NEAR(mixture.means[1 - high], -1, 0.1);
}

TEST(MixtureUpdate, does_not_depend_on_threads) {
  const FeatureMatrix features = random_features(20000, 3, 4);
  const FeatureMatrix* view = &features;
  GaussianMixture mixture = single_gaussian(std::span(&view, 1), all_frames(features)[0], std::vector<float>(3), {});
  split_mixture(mixture, 5);
  const GaussianModel model(3, {mixture});
  MixtureUpdateOptions options{.variance_floor = {0, 0, 0}, .threads = 1};
  const MixtureUpdate one = update_mixtures(model, std::span(&view, 1), all_frames(features), options);
  options.threads = 4;
  const MixtureUpdate four = update_mixtures(model, std::span(&view, 1), all_frames(features), options);
  EXPECT_EQ(one.mixtures[0].means, four.mixtures[0].means);
  EXPECT_EQ(one.mixtures[0].variances, four.mixtures[0].variances);
  EXPECT_EQ(one.log_likelihood, four.log_likelihood);
}

TEST(MixtureUpdate, gaussians_without_frames_go_and_states_without_frames_stay) {
  const FeatureMatrix features = random_features(100, 1, 5);
  const FeatureMatrix* view = &features;
  const GaussianMixture mixture{.weights = {0.5f, 0.5f}, .means = {0, 1000}, .variances = {1, 1}};
  FramesOfStates frames = all_frames(features);
  frames.emplace_back();
  const MixtureUpdate update =
      update_mixtures(GaussianModel(1, {mixture, mixture}), std::span(&view, 1), frames, {.variance_floor = {0.1f}});
  EXPECT_THAT(update.mixtures[0].weights, ElementsAre(1));
  EXPECT_EQ(update.mixtures[1].means, mixture.means);
}

TEST(MixtureUpdate, gaussians_go_where_frames_are) {
  const std::vector<std::int64_t> frames = {10'000, 1'000, 30}, have = {1, 1, 1};
  EXPECT_THAT(split_targets(frames, have, 10, 1, 20), ElementsAre(8, 1, 1));
  EXPECT_THAT(split_targets(frames, have, 10, 0, 20), ElementsAre(5, 4, 1)) << "30 frames are too few for two";
  EXPECT_THAT(split_targets(frames, have, 2, 1, 20), ElementsAre(1, 1, 1)) << "none is taken";
}

}  // namespace

}  // namespace hadal
