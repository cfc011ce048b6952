// A layer's own multiples of the rate and of the weight decay.

#include <gtest/gtest.h>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTraining;

// One step with plain sgd: what it changes is rate (g + decay w), and g is the same whatever the multipliers are.
class Multipliers : public ::testing::TestWithParam<ExchangeContent> {
 protected:
  static std::vector<std::vector<float>> after_a_step(const ::hadal::Multipliers& rate,
                                                      const ::hadal::Multipliers& decay, double weight_decay) {
    SmallTraining training;
    training.network = testing::small_mlp();
    auto& options = std::get<FullyConnectedOptions>(training.network.layers[2].options);
    options.rate_mult = rate;
    options.decay_mult = decay;
    training.rule = UpdateRule::sgd(0, weight_decay);
    training.devices = testing::device_list("fake", 2);
    training.topology = ExchangeTopology::direct;
    training.content = GetParam();
    training.shards = 0;
    training.steps = 1;
    return testing::train(training);
  }

  // Parameter 2 is the weight of the layer, 3 its bias.
  static void expect_change(const std::vector<std::vector<float>>& start, const std::vector<std::vector<float>>& plain,
                            const std::vector<std::vector<float>>& result, std::size_t parameter, float times) {
    for (std::size_t i = 0; i < plain[parameter].size(); ++i) {
      const float change = plain[parameter][i] - start[parameter][i];
      EXPECT_NEAR(result[parameter][i] - start[parameter][i], times * change, 1e-6) << "parameter " << parameter;
    }
  }
};

TEST_P(Multipliers, of_the_rate_are_of_that_layer_alone) {
  const auto start = after_a_step({0, 0}, {}, 0), plain = after_a_step({}, {}, 0),
             result = after_a_step({3, 0.5}, {}, 0);
  EXPECT_NE(start[2], plain[2]);
  expect_change(start, plain, result, 2, 3);
  expect_change(start, plain, result, 3, 0.5f);
  for (const std::size_t other : {0, 1, 4, 5}) {
    EXPECT_EQ(result[other], plain[other]);
    EXPECT_EQ(start[other], plain[other]);
  }
}

TEST_P(Multipliers, of_the_decay_are_of_that_layer_alone) {
  const auto none = after_a_step({}, {}, 0), plain = after_a_step({}, {}, 0.5), result = after_a_step({}, {0, 2}, 0.5);
  EXPECT_NE(none[2], plain[2]);
  EXPECT_EQ(none[2], result[2]);
  expect_change(none, plain, result, 3, 2);
  for (const std::size_t other : {0, 1, 4, 5}) EXPECT_EQ(result[other], plain[other]);
}

INSTANTIATE_TEST_SUITE_P(all, Multipliers, ::testing::Values(ExchangeContent::gradients, ExchangeContent::factors),
                         [](const auto& test) {
                           return test.param == ExchangeContent::factors ? "factors" : "gradients";
                         });

}  // namespace
}  // namespace hadal
