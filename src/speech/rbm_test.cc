#include "speech/rbm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "speech/matrix_product.h"

namespace hadal {
namespace {

// Rows that are one of four patterns, with noise.
RbmRows patterns(std::int64_t count, std::int64_t visible, bool gaussian) {
  RbmRows rows;
  rows.count = count;
  rows.read = [=](std::span<const std::int64_t> numbers, std::span<float> values) {
    const RandomSequence pattern(5, RandomUse::synthetic, 0), noise(5, RandomUse::synthetic, 1);
    for (std::size_t r = 0; r < numbers.size(); ++r) {
      const auto row = static_cast<std::uint64_t>(numbers[r]), width = static_cast<std::uint64_t>(visible);
      for (std::uint64_t i = 0; i < width; ++i) {
        const bool on = pattern.below(row % 4 * width + i, 2) == 1;
        values[r * width + i] = gaussian ? (on ? 1.0f : -1.0f) + 0.3f * noise.normal(row * width + i)
                                         : (on != (noise.below(row * width + i, 20) == 0) ? 1.0f : 0.0f);
      }
    }
  };
  return rows;
}

RbmTraining training_of(bool gaussian, std::vector<double>& errors) {
  RbmTraining training;
  training.hidden = 24;
  training.epochs = 12;
  training.batch = 16;
  training.gaussian = gaussian;
  training.rate = gaussian ? 0.005 : 0.1;
  training.seed = 3;
  training.report = [&](std::int64_t, double error) { errors.push_back(error); };
  return training;
}

TEST(Rbm, learns_to_reconstruct_binary_and_gaussian_data) {
  for (const bool gaussian : {false, true}) {
    std::vector<double> errors;
    train_rbm(patterns(200, 30, gaussian), 30, training_of(gaussian, errors));
    ASSERT_EQ(errors.size(), 12u);
    EXPECT_LT(errors.back(), 0.5 * errors.front()) << gaussian;
  }
}

TEST(Rbm, is_the_same_whatever_the_threads) {
  std::vector<double> errors;
  RbmTraining training = training_of(true, errors);
  training.epochs = 2;
  training.hidden = 70;
  const Rbm one = train_rbm(patterns(100, 45, true), 45, training);
  training.threads = 3;
  const Rbm three = train_rbm(patterns(100, 45, true), 45, training);
  EXPECT_EQ(one.weights, three.weights);
  EXPECT_EQ(one.hidden_bias, three.hidden_bias);
  training.layer = 1;
  EXPECT_NE(train_rbm(patterns(100, 45, true), 45, training).weights, one.weights);
}

TEST(Rbm, gives_each_pattern_hidden_units_of_its_own) {
  std::vector<double> errors;
  const RbmRows rows = patterns(200, 30, false);
  const Rbm rbm = train_rbm(rows, 30, training_of(false, errors));
  std::vector<float> seen(5 * 30);
  rows.read(std::vector<std::int64_t>{0, 4, 1, 2, 3}, seen);
  const std::vector<float> hidden = rbm.hidden_of(seen);
  const auto distance = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t h = 0; h < 24; ++h) sum += std::abs(hidden[a * 24 + h] - hidden[b * 24 + h]);
    return sum;
  };
  for (const std::size_t other : {2, 3, 4}) EXPECT_LT(distance(0, 1), distance(0, other)) << other;
}

TEST(MatrixProduct, is_the_plain_sum_at_any_size) {
  for (const ProductShape shape : {ProductShape{5, 7, 3}, ProductShape{64, 64, 16}, ProductShape{33, 35, 9, true},
                                   ProductShape{8, 32, 1, true}, ProductShape{1, 1, 1}}) {
    std::vector<float> a(static_cast<std::size_t>(shape.m * shape.k)), b(static_cast<std::size_t>(shape.k * shape.n)),
        c(static_cast<std::size_t>(shape.m * shape.n));
    const RandomSequence random(9, RandomUse::synthetic, 2);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = random.normal(i);
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = random.normal(100'000 + i);
    multiply(shape, a.data(), b.data(), c.data(), 2);
    for (std::int64_t i = 0; i < shape.m; ++i) {
      for (std::int64_t j = 0; j < shape.n; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < shape.k; ++k) {
          sum += a[static_cast<std::size_t>(shape.a_by_column ? k * shape.m + i : i * shape.k + k)] *
                 b[static_cast<std::size_t>(k * shape.n + j)];
        }
        ASSERT_EQ(c[static_cast<std::size_t>(i * shape.n + j)], sum) << i << " " << j;
      }
    }
  }
}

}  // namespace
}  // namespace hadal
