// Adagrad with sums of squares on each device.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "plan/verify.h"
#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

constexpr int kAverage = 1;  // index of the plan

SmallTraining training_on(const std::vector<std::string>& devices, ExchangeTopology topology) {
  SmallTraining training;
  training.network = testing::small_mlp();
  training.devices = devices;
  training.topology = topology;
  training.rule = {.kind = RuleKind::adagrad, .weight_decay = 5e-4, .epsilon = 0.01};
  training.rate = 0.01;
  training.shards = 0;
  training.device_states = devices.size() > 1;
  return training;
}

// The samples of `rows` rows, each of them `times` times: device d gets the d-th copy of all.
std::vector<std::byte> copies(const SmallTrainer& trainer, std::int64_t rows, int times, int number) {
  const std::vector<std::byte> once = trainer.staged(rows, number);
  const auto labels = static_cast<std::size_t>(rows) * 4, samples = once.size() - labels;
  std::vector<std::byte> all(once.size() * static_cast<std::size_t>(times));
  for (std::size_t i = 0; i < static_cast<std::size_t>(times); ++i) {
    std::memcpy(all.data() + i * samples, once.data(), samples);
    std::memcpy(all.data() + static_cast<std::size_t>(times) * samples + i * labels, once.data() + samples, labels);
  }
  return all;
}

// Where all devices see the same rows, each one's states are those of the whole batch.
TEST(DeviceStates, of_equal_rows_train_as_the_owners_states) {
  constexpr std::int64_t kRows = 6;
  const auto trained = [&](int devices, const char* kind, ExchangeTopology topology) {
    SmallTraining training = training_on(testing::device_list(kind, devices), topology);
    training.batch = kRows * devices;
    SmallTrainer trainer(training);
    LocalRunner& runner = trainer.bind({trainer.plan(training.batch)});
    for (int step = 0; step < 3; ++step) {
      const std::vector<std::byte> batch = copies(trainer, kRows, devices, step);
      StepValues values;
      values.step = static_cast<std::uint64_t>(step);
      values.rate = static_cast<float>(training.rate);
      values.batch = batch.data();
      runner.run(0, values);
    }
    return trainer.parameters();
  };
  const auto one = trained(1, "cpu", ExchangeTopology::shared);
  const auto expect_near = [&](const std::vector<std::vector<float>>& many, const char* what) {
    for (std::size_t p = 0; p < one.size(); ++p) {
      for (std::size_t i = 0; i < one[p].size(); ++i) ASSERT_NEAR(many[p][i], one[p][i], 2e-6) << what << ", " << p;
    }
  };
  expect_near(trained(3, "cpu", ExchangeTopology::shared), "shared");
  expect_near(trained(3, "fake", ExchangeTopology::direct), "direct");
  expect_near(trained(4, "fake", ExchangeTopology::line), "line");
}

class Averages : public ::testing::TestWithParam<ExchangeTopology> {};

TEST_P(Averages, are_of_all_devices_and_on_all_of_them) {
  for (int devices = 2; devices <= 7; ++devices) {
    SCOPED_TRACE(devices);
    const char* kind = GetParam() == ExchangeTopology::shared ? "cpu" : "fake";
    const SmallTraining training = training_on(testing::device_list(kind, devices), GetParam());
    SmallTrainer trainer(training);
    const Plan average = trainer.plan(training.batch, PlanMode::average);
    LocalRunner& runner = trainer.bind({trainer.plan(training.batch), average});
    for (int step = 0; step < 2; ++step) trainer.run(0, step);
    const auto states = [&](std::size_t parameter) {
      std::vector<std::vector<float>> by_device;
      for (const int tensor : average.parameters[parameter].squares) {
        by_device.push_back(runner.read_numbers(kAverage, tensor));
      }
      return by_device;
    };
    std::vector<std::vector<std::vector<float>>> before;
    for (std::size_t p = 0; p < average.parameters.size(); ++p) before.push_back(states(p));
    EXPECT_NE(before[0][0], before[0][1]);  // they have seen other rows
    runner.run(kAverage, {});
    for (std::size_t p = 0; p < before.size(); ++p) {
      const auto after = states(p);
      for (std::size_t i = 0; i < after[0].size(); ++i) {
        double mean = 0;
        for (const std::vector<float>& of_device : before[p]) mean += of_device[i] / devices;
        ASSERT_NEAR(after[0][i], mean, 1e-5 * mean);
      }
      for (const std::vector<float>& of_device : after) ASSERT_EQ(of_device, after[0]);
      EXPECT_EQ(runner.read_state(static_cast<int>(p), 0), after[0]);
    }
    std::uint64_t copied = 0;
    for (int from = 0; from < devices; ++from) {
      for (int to = 0; to < devices; ++to) copied += runner.bound(kAverage).copied_bytes(from, to);
    }
    EXPECT_EQ(copied, average.exchange_bytes());
    EXPECT_EQ(GetParam() == ExchangeTopology::shared, copied == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(all, Averages,
                         ::testing::Values(ExchangeTopology::shared, ExchangeTopology::direct, ExchangeTopology::line,
                                           ExchangeTopology::tree, ExchangeTopology::ring),
                         [](const auto& test) { return to_string(test.param); });

// On a line each directed hop carries each byte of the states once, as it does with gradients.
TEST(DeviceStates, travel_as_gradients_do) {
  const SmallTraining training = training_on(testing::device_list("fake", 4), ExchangeTopology::line);
  const SmallTrainer trainer(training);
  const auto model = static_cast<std::size_t>(trainer.network().parameter_elements()) * 4;
  const Plan average = trainer.plan(training.batch, PlanMode::average);
  EXPECT_EQ(average.links.size(), 6u);
  for (const LinkBytes& link : average.links) EXPECT_EQ(link.bytes, model);
}

TEST(DeviceStates, are_written_and_read_by_device) {
  const SmallTraining training = training_on(testing::device_list("fake", 3), ExchangeTopology::direct);
  SmallTrainer trainer(training);
  LocalRunner& runner = trainer.bind({trainer.plan(training.batch)});
  const std::vector<float> values = runner.read_parameter(0);
  runner.write_state(0, 1, values);
  const std::vector<int>& squares = runner.plan(0).parameters[0].squares;
  EXPECT_EQ(runner.read_numbers(0, squares[1]), values);
  EXPECT_EQ(runner.read_state(0, 1), values);
  for (const std::size_t other : {0, 2}) EXPECT_NE(runner.read_state(0, other), values);
}

}  // namespace
}  // namespace hadal
