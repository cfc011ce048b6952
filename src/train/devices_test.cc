// N devices give what one gives: the same bits under `reproducible`, nearly the same otherwise.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "ops/arguments.h"
#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

constexpr ExchangeTopology kAll[] = {ExchangeTopology::shared, ExchangeTopology::direct, ExchangeTopology::line,
                                     ExchangeTopology::tree, ExchangeTopology::ring};
constexpr auto kSending = std::span(kAll).subspan(1);

#ifdef HADAL_SANITIZED
constexpr int kCounts[] = {2, 3, 6};  // slow there
#else
constexpr int kCounts[] = {2, 3, 4, 5, 6, 7, 8};
#endif

using testing::device_list;
using testing::SmallTraining;

struct DevicesCase {
  std::string name;
  NetworkSpec network;
  double clip_norm = 0;
  bool reference = false;
  DType precision = DType::f32;
  UpdateRule rule = UpdateRule::sgd(0.9, 5e-4);
  double rate = 0.05;
};

class Devices : public ::testing::TestWithParam<DevicesCase> {
 protected:
  SmallTraining training() const {
    SmallTraining training;
    training.network = GetParam().network;
    training.clip_norm = GetParam().clip_norm;
    training.reference = GetParam().reference;
    training.precision = GetParam().precision;
    training.rule = GetParam().rule;
    training.rate = GetParam().rate;
    return training;
  }
  bool normalises() const {
    const std::vector<LayerSpec>& layers = GetParam().network.layers;
    return std::any_of(layers.begin(), layers.end(),
                       [](const LayerSpec& layer) { return std::holds_alternative<BatchNormOptions>(layer.options); });
  }
};

TEST_P(Devices, any_number_of_them_gives_the_same_bits_when_reproducible) {
  const auto one = testing::train(training());
  for (const int count : kCounts) {
    SmallTraining many = training();
    many.devices = device_list("cpu", count);
    EXPECT_EQ(testing::train(many), one) << count << " cpu devices, shared";
    many.topology = ExchangeTopology::direct;
    EXPECT_EQ(testing::train(many), one) << count << " cpu devices, direct";
    many.devices = device_list("fake", count);
    for (const ExchangeTopology topology : kSending) {
      many.topology = topology;
      EXPECT_EQ(testing::train(many), one) << count << " fake devices, " << to_string(topology);
    }
  }
}

TEST_P(Devices, that_leave_exchange_to_the_next_step_give_the_same_bits) {
  if (GetParam().clip_norm > 0) GTEST_SKIP() << "a norm is of all gradients";
  for (const std::int64_t shards : {0, 12}) {
    SmallTraining many = training();
    many.shards = shards;
    many.steps = 5;
    many.devices = device_list("fake", 3);
    for (const ExchangeTopology topology : kSending) {
      many.topology = topology;
      many.content = shards == 0 ? ExchangeContent::gradients : ExchangeContent::automatic;
      many.deferred = {};
      const auto expected = testing::train(many);
      for (const PlanOptions::Deferred deferred : {PlanOptions::Deferred{1, 1}, {2, 0}, {100, 1}, {100, 100}}) {
        many.deferred = deferred;
        EXPECT_EQ(testing::train(many), expected) << deferred.updates << " updates, " << deferred.gathers
                                                  << " gathers, " << to_string(topology) << ", " << shards;
      }
    }
  }
}

TEST_P(Devices, any_number_and_content_gives_nearly_the_same_otherwise) {
  SmallTraining single = training();
  single.shards = 0;
  const auto one = testing::train(single);
  SmallTraining untrained = single;
  untrained.steps = 0;
  const auto start = testing::train(untrained);
  for (const int count : {2, 3, 6}) {
    for (const auto content : {ExchangeContent::gradients, ExchangeContent::factors}) {
      for (const ExchangeTopology topology : kAll) {
        SmallTraining many = single;
        many.devices = device_list(topology == ExchangeTopology::shared ? "cpu" : "fake", count);
        many.content = content;
        many.topology = topology;
        const auto result = testing::train(many);
        for (std::size_t p = 0; p < one.size(); ++p) {
          double difference = 0, size = 0, change = 0;
          for (std::size_t i = 0; i < one[p].size(); ++i) {
            difference += std::abs(result[p][i] - one[p][i]);
            size += std::abs(one[p][i]);
            change += std::abs(one[p][i] - start[p][i]);
          }
          // In bf16 a sum in another order may round to the next number.
          const bool bf16 = GetParam().precision == DType::bf16;
          EXPECT_LE(difference, bf16 ? 0.05 * change : 1e-5 * size + 1e-7)
              << count << " devices, " << to_string(topology) << ", parameter " << p;
        }
      }
    }
  }
}

TEST_P(Devices, a_batch_in_passes_gives_the_same_bits_when_reproducible) {
  if (normalises()) GTEST_SKIP() << "passes are normalised each by itself";
  const auto one = testing::train(training());
  for (const std::int64_t rows : {12, 7, 1}) {
    SmallTraining passes = training();
    passes.pass_rows = rows;
    EXPECT_EQ(testing::train(passes), one) << "one device, " << rows << " rows at a time";
    passes.devices = device_list("cpu", 2);
    EXPECT_EQ(testing::train(passes), one) << "two cpu devices, " << rows << " rows at a time";
    passes.devices = device_list("fake", 3);
    passes.topology = ExchangeTopology::line;
    EXPECT_EQ(testing::train(passes), one) << "three fake devices, " << rows << " rows at a time";
  }
}

TEST_P(Devices, a_batch_in_passes_gives_nearly_the_same_otherwise) {
  if (normalises()) GTEST_SKIP() << "passes are normalised each by itself";
  if (GetParam().precision == DType::bf16) GTEST_SKIP() << "a sum in another order may round to the next number";
  SmallTraining single = training();
  single.shards = 0;
  const auto one = testing::train(single);
  for (const int count : {1, 3}) {
    for (const auto content : {ExchangeContent::gradients, ExchangeContent::factors}) {
      SmallTraining passes = single;
      passes.pass_rows = 7;
      passes.content = content;
      passes.devices = device_list("fake", count);
      passes.topology = ExchangeTopology::ring;
      const auto result = testing::train(passes);
      for (std::size_t p = 0; p < one.size(); ++p) {
        double difference = 0, size = 0;
        for (std::size_t i = 0; i < one[p].size(); ++i) {
          difference += std::abs(result[p][i] - one[p][i]);
          size += std::abs(one[p][i]);
        }
        EXPECT_LE(difference, 1e-5 * size + 1e-7) << count << " devices, parameter " << p;
      }
    }
  }
}

TEST_P(Devices, training_changes_every_parameter) {
  SmallTraining none = training(), some = training();
  none.steps = 0;
  const auto before = testing::train(none), after = testing::train(some);
  for (std::size_t p = 0; p < before.size(); ++p) EXPECT_NE(before[p], after[p]) << "parameter " << p;
}

INSTANTIATE_TEST_SUITE_P(
    all, Devices,
    ::testing::Values(
        DevicesCase{"lenet", testing::small_lenet()}, DevicesCase{"dag", testing::small_dag()},
        DevicesCase{"mlp", testing::small_mlp()}, DevicesCase{"lenet_clipped", testing::small_lenet(), 0.05},
        DevicesCase{"dag_on_reference", testing::small_dag(), 0, true},
        DevicesCase{"lenet_bf16", testing::small_lenet(), 0, false, DType::bf16},
        DevicesCase{"dag_bf16", testing::small_dag(), 0, false, DType::bf16},
        DevicesCase{"mlp_bf16_clipped", testing::small_mlp(), 0.05, false, DType::bf16},
        DevicesCase{"dag_bf16_on_reference", testing::small_dag(), 0, true, DType::bf16},
        DevicesCase{"batch_norm", testing::small_batch_norm()},
        DevicesCase{"batch_norm_clipped", testing::small_batch_norm(), 0.05},
        DevicesCase{"batch_norm_on_reference", testing::small_batch_norm(), 0, true},
        DevicesCase{"batch_norm_bf16", testing::small_batch_norm(), 0, false, DType::bf16},
        // A large epsilon: else they take the sign of a gradient that is all rounding.
        DevicesCase{"lenet_adagrad",
                    testing::small_lenet(),
                    0,
                    false,
                    DType::f32,
                    {.kind = RuleKind::adagrad, .epsilon = 0.01},
                    0.01},
        DevicesCase{"mlp_adam_clipped",
                    testing::small_mlp(),
                    0.05,
                    false,
                    DType::f32,
                    {.kind = RuleKind::adam, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.01},
                    0.01},
        DevicesCase{"dag_adamw_bf16",
                    testing::small_dag(),
                    0,
                    false,
                    DType::bf16,
                    {.kind = RuleKind::adamw, .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 0.01},
                    0.01}),
    [](const auto& test) { return test.param.name; });

TEST_P(Devices, bf16_stays_near_fp32) {
  if (GetParam().precision == DType::f32) GTEST_SKIP() << "nothing to compare";
  SmallTraining fp32 = training();
  fp32.precision = DType::f32;
  const auto expected = testing::train(fp32), result = testing::train(training());
  fp32.steps = 0;
  const auto start = testing::train(fp32);
  double difference = 0, change = 0;  // of all: normalisation makes some gradients nothing but rounding
  for (std::size_t p = 0; p < expected.size(); ++p) {
    if (!normalises()) difference = change = 0;
    for (std::size_t i = 0; i < expected[p].size(); ++i) {
      difference += std::abs(result[p][i] - expected[p][i]);
      change += std::abs(expected[p][i] - start[p][i]);
    }
    if (!normalises() || p + 1 == expected.size()) {
      EXPECT_LE(difference, 0.2 * change) << "parameter " << p;
    }
    EXPECT_GT(difference, 0) << "parameter " << p;
  }
}

TEST_P(Devices, steps_are_given_what_their_operators_take) {
  SmallTraining many = training();
  many.devices = device_list("fake", 3);
  many.topology = ExchangeTopology::direct;
  for (const PlanMode mode : {PlanMode::train, PlanMode::evaluate, PlanMode::predict}) {
    const Plan plan = testing::SmallTrainer(many).plan(24, mode);
    for (const Step& step : plan.steps) {
      const auto* compute = std::get_if<Compute>(&step.body);
      if (!compute) continue;
      std::vector<Range> ranges = step.reads;
      ranges.insert(ranges.end(), step.writes.begin(), step.writes.end());
      const std::vector<OpArgument> arguments = arguments_of(compute->op);
      ASSERT_EQ(ranges.size(), arguments.size()) << step.name;
      for (std::size_t i = 0; i < ranges.size(); ++i) {
        EXPECT_EQ(ranges[i].count, arguments[i].elements) << step.name << ": " << arguments[i].name;
      }
    }
  }
}

TEST(Devices, a_batch_smaller_than_the_devices_leaves_some_idle) {
  SmallTraining one;
  one.network = testing::small_lenet();
  one.batch = 8;
  one.last_rows = 2;
  SmallTraining many = one;
  many.devices = device_list("fake", 6);
  many.topology = ExchangeTopology::direct;
  EXPECT_EQ(testing::train(many), testing::train(one));
}

}  // namespace
}  // namespace hadal
