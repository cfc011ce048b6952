// A model that is split over the devices of a group trains as one device does.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::device_list;
using testing::SmallTrainer;
using testing::SmallTraining;

struct Case {
  std::string name;
  NetworkSpec network;
  bool reference = false;
  DType precision = DType::f32;
  UpdateRule rule = UpdateRule::sgd(0.9, 5e-4);
  double clip_norm = 0;
};

class SplitTraining : public ::testing::TestWithParam<Case> {
 protected:
  SmallTraining training(int groups, int split, const std::string& kind = "fake") const {
    SmallTraining training;
    training.network = GetParam().network;
    training.reference = GetParam().reference;
    training.precision = GetParam().precision;
    training.rule = GetParam().rule;
    training.clip_norm = GetParam().clip_norm;
    training.shards = 0;
    training.devices = device_list(kind, groups * split);
    training.split = split;
    training.topology = kind == "cpu" ? ExchangeTopology::shared : ExchangeTopology::direct;
    return training;
  }

  // In bf16 a sum in another order may round to the next number, so there all are compared together. Biases before a
  // normalisation have gradients of rounding alone: they stay where they were, and so they must on all divisions.
  void expect_near(const std::vector<std::vector<float>>& result, const std::string& what) {
    const bool bf16 = GetParam().precision == DType::bf16;
    double difference = 0, size = 0, change = 0;
    for (std::size_t p = 0; p < one_.size(); ++p) {
      if (!bf16) difference = size = change = 0;
      for (std::size_t i = 0; i < one_[p].size(); ++i) {
        difference += std::abs(result[p][i] - one_[p][i]);
        size += std::abs(one_[p][i]);
        change += std::abs(one_[p][i] - start_[p][i]);
      }
      if (!bf16) {
        const bool stays = normalises() && change < 1e-6;
        EXPECT_LE(difference, stays ? 1e-6 : 1e-5 * size + 1e-7) << what << ", parameter " << p;
      }
    }
    if (bf16) {
      EXPECT_LE(difference, 0.05 * change) << what;
    }
  }

  static bool normalises() {
    const std::vector<LayerSpec>& layers = GetParam().network.layers;
    return std::any_of(layers.begin(), layers.end(),
                       [](const LayerSpec& layer) { return std::holds_alternative<BatchNormOptions>(layer.options); });
  }

  void SetUp() override {
    SmallTraining single = training(1, 1);
    one_ = testing::train(single);
    single.steps = 0;
    start_ = testing::train(single);
  }

  std::vector<std::vector<float>> one_, start_;
};

TEST_P(SplitTraining, models_train_as_whole_ones) {
  for (const char* kind : {"cpu", "fake"}) {
    for (const int groups : {1, 2, 3}) {
      for (const int split : {2, 3, 4}) {
        for (const auto content : {ExchangeContent::automatic, ExchangeContent::gradients, ExchangeContent::factors}) {
          SmallTraining many = training(groups, split, kind);
          many.content = content;
          expect_near(testing::train(many), std::to_string(groups) + " groups of " + std::to_string(split) + " " +
                                                kind + " devices, content " +
                                                std::to_string(static_cast<int>(content)));
        }
      }
    }
  }
}

TEST_P(SplitTraining, models_train_as_whole_ones_in_every_topology_and_in_passes) {
  for (const ExchangeTopology topology : {ExchangeTopology::line, ExchangeTopology::tree, ExchangeTopology::ring}) {
    for (const auto content : {ExchangeContent::gradients, ExchangeContent::factors}) {
      SmallTraining many = training(3, 2);
      many.topology = topology;
      many.content = content;
      expect_near(testing::train(many), to_string(topology));
      if (normalises() || GetParam().precision == DType::bf16) continue;  // pass by pass; rounded more often
      many.pass_rows = 7;
      expect_near(testing::train(many), std::string(to_string(topology)) + " in passes");
    }
  }
}

TEST_P(SplitTraining, models_give_the_bits_of_one_device_under_reproducible) {
  if (GetParam().precision == DType::bf16) GTEST_SKIP() << "refused";
  SmallTraining single = training(1, 1);
  single.shards = 12;
  const auto one = testing::train(single);
  for (const char* kind : {"cpu", "fake"}) {
    for (const int groups : {1, 2, 3}) {
      for (const int split : {1, 2, 3, 4}) {
        SmallTraining many = training(groups, split, kind);
        many.shards = 12;
        EXPECT_EQ(testing::train(many), one) << groups << " groups of " << split << " " << kind << " devices";
      }
    }
  }
  for (const ExchangeTopology topology : {ExchangeTopology::line, ExchangeTopology::tree, ExchangeTopology::ring}) {
    SmallTraining many = training(3, 2);
    many.shards = 12;
    many.topology = topology;
    EXPECT_EQ(testing::train(many), one) << to_string(topology);
    if (normalises()) continue;  // pass by pass
    many.pass_rows = 7;
    EXPECT_EQ(testing::train(many), one) << to_string(topology) << " in passes";
  }
}

TEST_P(SplitTraining, models_train_as_whole_ones_where_a_step_leaves_its_exchange_to_the_next) {
  for (const ExchangeTopology topology : {ExchangeTopology::direct, ExchangeTopology::line}) {
    for (const PlanOptions::Deferred deferred : {PlanOptions::Deferred{1, 1}, {2, 0}, {3, 2}}) {
      SmallTraining many = training(3, 2);
      many.topology = topology;
      many.content = ExchangeContent::gradients;
      many.deferred = GetParam().clip_norm > 0 ? PlanOptions::Deferred{} : deferred;
      expect_near(testing::train(many), std::string(to_string(topology)) + ", " + std::to_string(deferred.updates) +
                                            " and " + std::to_string(deferred.gathers));
    }
  }
}

// Layers that are not divided lie on each device of a group, and must stay the same there: nothing brings them
// together.
TEST_P(SplitTraining, replicas_within_a_group_stay_the_same_bits) {
  SmallTraining many = training(2, 3);
  many.smallest_part = 8;
  many.steps = 12;
  SmallTrainer trainer(many);
  LocalRunner& runner = trainer.bind();
  for (int step = 0; step < many.steps; ++step) trainer.step(step);
  const Plan& plan = runner.plan(0);
  int replicated = 0;
  for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
    if (plan.parts[trainer.network().parameters[p].layer] > 1) continue;
    ++replicated;
    const std::vector<int>& tensors = plan.parameters[p].tensor;
    for (const int tensor : tensors) EXPECT_EQ(runner.read_numbers(0, tensor), runner.read_numbers(0, tensors[0])) << p;
  }
  EXPECT_GT(replicated, 0);
}

// Parameters and states are those of the whole model, whoever has them.
TEST_P(SplitTraining, trainings_go_on_with_another_division) {
  const auto move = [](LocalRunner& from, LocalRunner& to) {
    from.settle();
    for (int p = 0; p < static_cast<int>(from.plan(0).parameters.size()); ++p) {
      to.write_parameter(p, from.read_parameter(p));
      for (std::size_t s = 0; s < GetParam().rule.state_count(); ++s) {
        if (const auto values = from.read_state(p, s); !values.empty()) to.write_state(p, s, values);
      }
    }
  };
  const std::pair<int, int> divisions[] = {{2, 2}, {1, 1}, {1, 4}, {3, 1}, {1, 3}, {2, 3}};
  std::vector<std::unique_ptr<SmallTrainer>> trainers;
  for (int step = 0; step < 6; ++step) {
    const auto [groups, split] = divisions[step];
    trainers.push_back(std::make_unique<SmallTrainer>(training(groups, split)));
    trainers.back()->bind();
    if (step > 0) move(trainers[step - 1]->runner(), trainers[step]->runner());
    trainers.back()->step(step);
  }
  SmallTraining single = training(1, 1);
  single.steps = 6;
  one_ = testing::train(single);
  expect_near(trainers.back()->parameters(), "six divisions");
}

INSTANTIATE_TEST_SUITE_P(
    all, SplitTraining,
    ::testing::Values(Case{"lenet", testing::small_lenet()}, Case{"mlp", testing::small_mlp()},
                      Case{"lenet_on_reference", testing::small_lenet(), true},
                      Case{"lenet_bf16", testing::small_lenet(), false, DType::bf16},
                      Case{"lenet_clipped", testing::small_lenet(), false, DType::f32, UpdateRule::sgd(0.9, 5e-4), 0.3},
                      Case{"norms_clipped", testing::small_batch_norm(), false, DType::f32, UpdateRule::sgd(0.9, 5e-4),
                           0.3},
                      Case{"dag", testing::small_dag()}, Case{"dag_on_reference", testing::small_dag(), true},
                      Case{"batch_norm", testing::small_batch_norm()},
                      Case{"batch_norm_bf16", testing::small_batch_norm(), false, DType::bf16}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal
