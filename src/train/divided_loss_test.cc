// A loss whose classes are divided among the devices of a group is that of one device, and so are the counters that it
// gives.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

struct Losses {
  std::vector<float> loss;
  std::vector<std::int32_t> rank;
};

// Of one step on `rows` rows, in the order of the batch. Weights of the third layer are multiplied by `scale`.
Losses losses_of(const SmallTraining& training, PlanMode mode, std::int64_t rows, float scale) {
  SmallTrainer trainer(training);
  LocalRunner& runner = trainer.bind({trainer.plan(rows, mode)});
  const int weight = trainer.network().layers[2].weight;
  std::vector<float> values = runner.read_parameter(weight);
  for (float& value : values) value *= scale;
  runner.write_parameter(weight, values);
  trainer.run(0, 0);
  const auto count = static_cast<std::size_t>(rows);
  Losses losses{std::vector<float>(count), std::vector<std::int32_t>(count)};
  for (const ResultRows& of : runner.plan(0).results) {
    const auto bytes = static_cast<std::size_t>(of.count) * 4;
    runner.read(0, of.loss, losses.loss.data() + of.first, bytes);
    runner.read(0, of.rank, losses.rank.data() + of.first, bytes);
  }
  return losses;
}

// Of the devices, the precision, whether the reference backend computes, and whether a relu ends the network: then many
// logits are the same, and not written in fp32 in bf16.
class DividedLosses : public ::testing::TestWithParam<std::tuple<const char*, DType, bool, bool>> {
 protected:
  static SmallTraining training(int groups, int split) {
    const auto [kind, precision, reference, relu] = GetParam();
    SmallTraining training;
    training.network = {{20},
                        {testing::fully_connected("hidden", 30), testing::activation("s", ActivationKind::tanh),
                         testing::fully_connected("out", 22)},
                        {}};
    if (relu) training.network.layers.push_back(testing::activation("last", ActivationKind::relu));
    training.devices = testing::device_list(kind, groups * split);
    training.split = split;
    training.precision = precision;
    training.reference = reference;
    training.topology = ExchangeTopology::direct;
    training.shards = 0;
    return training;
  }

  // With every division.
  static void expect_those_of_one(PlanMode mode, std::int64_t rows, std::int64_t pass_rows, float scale) {
    SmallTraining single = training(1, 1);
    const Losses one = losses_of(single, mode, rows, scale);
    for (const int groups : {1, 2}) {
      for (const int split : {2, 3, 4}) {
        SmallTraining many = training(groups, split);
        many.pass_rows = pass_rows;
        const Losses divided = losses_of(many, mode, rows, scale);
        EXPECT_EQ(divided.rank, one.rank) << groups << " x " << split;
        for (std::size_t i = 0; i < one.loss.size(); ++i) {
          EXPECT_NEAR(divided.loss[i], one.loss[i], 1e-6f * (1 + std::abs(one.loss[i])) * std::max(scale, 1.0f))
              << groups << " x " << split << ", row " << i;
        }
      }
    }
  }
};

TEST_P(DividedLosses, of_evaluations_are_those_of_one_device) {
  for (const std::int64_t rows : {24, 5}) expect_those_of_one(PlanMode::evaluate, rows, 0, 1);
}

TEST_P(DividedLosses, of_training_steps_are_those_of_one_device) {
  for (const std::int64_t pass_rows : {0, 7}) expect_those_of_one(PlanMode::train, 23, pass_rows, 1);
}

// All logits are the same.
TEST_P(DividedLosses, rank_classes_alike_by_their_numbers) { expect_those_of_one(PlanMode::evaluate, 24, 0, 0); }

// Whose exponentials are infinite.
TEST_P(DividedLosses, of_large_logits_are_finite) {
  const Losses losses = losses_of(training(1, 3), PlanMode::train, 24, 2e4f);
  EXPECT_GT(*std::max_element(losses.loss.begin(), losses.loss.end()), 1e3f);
  expect_those_of_one(PlanMode::train, 24, 0, 2e4f);
}

INSTANTIATE_TEST_SUITE_P(
    all, DividedLosses,
    ::testing::Values(std::tuple{"cpu", DType::f32, false, false}, std::tuple{"fake", DType::f32, false, false},
                      std::tuple{"fake", DType::f32, false, true}, std::tuple{"fake", DType::bf16, false, false},
                      std::tuple{"fake", DType::bf16, false, true}, std::tuple{"fake", DType::f32, true, false}));

}  // namespace
}  // namespace hadal
