// What devices and ports have carried after a run is what the plan says, to the byte.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "plan/simulate.h"
#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

constexpr int kCountedSteps = 2;

// Sizes that no number of devices divides.
NetworkSpec odd_network() {
  return {{13},
          {testing::fully_connected("wide", 157), testing::activation("s", ActivationKind::sigmoid),
           testing::fully_connected("out", 11)},
          {}};
}

// Pairs of devices on switches, these in a row, the host at the first.
Machine pairs(int devices) {
  Machine machine{.name = "pairs", .host = devices};
  const LinkSpeed fast{1e12, 0};
  for (int d = 0; d < devices; ++d) {
    machine.devices.push_back({.name = fmt::format("fake:{}", d), .memory = 1 + d});
    machine.links.push_back({d, devices + d / 2, fast, d % 3 > 0});
    if (d % 2 > 0) continue;
    machine.switches.push_back(fmt::format("s{}", d / 2));
    if (d > 0) machine.links.push_back({devices + d / 2 - 1, devices + d / 2, fast});
  }
  return machine;
}

class Counters : public ::testing::TestWithParam<std::tuple<ExchangeTopology, ExchangeContent>> {
 protected:
  static SmallTraining training(const std::string& kind, int devices) {
    SmallTraining training;
    training.network = odd_network();
    training.devices = testing::device_list(kind, devices);
    std::tie(training.topology, training.content) = GetParam();
    training.batch = training.last_rows = 29;
    training.shards = 0;
    if (kind == "fake") training.machine = pairs(devices);
    return training;
  }

  static void expect_links(const BoundPlan& bound) {
    const Plan& plan = bound.plan();
    std::uint64_t all = 0;
    for (std::size_t from = 0; from < plan.devices.size(); ++from) {
      for (std::size_t to = 0; to < plan.devices.size(); ++to) {
        all += bound.copied_bytes(static_cast<int>(from), static_cast<int>(to));
      }
    }
    EXPECT_EQ(all, kCountedSteps * (plan.exchange_bytes() + plan.transfer_bytes()));
    for (const LinkBytes& link : plan.links) {
      EXPECT_EQ(bound.copied_bytes(link.from, link.to), kCountedSteps * link.bytes)
          << plan.devices.size() << " devices, " << link.from << " -> " << link.to;
    }
  }
};

TEST_P(Counters, equal_the_plan) {
  for (int devices = 1; devices <= 8; ++devices) {
    if (std::get<0>(GetParam()) != ExchangeTopology::shared) {
      SmallTrainer trainer(training("fake", devices));
      const LocalRunner& runner = trainer.bind({trainer.plan(29)});
      for (int step = 0; step < kCountedSteps; ++step) trainer.run(0, step);
      expect_links(runner.bound(0));
      std::vector<std::uint64_t> planned;
      for (const std::size_t bytes : port_bytes(runner.plan(0), pairs(devices)))
        planned.push_back(kCountedSteps * bytes);
      EXPECT_EQ(runner.port_bytes(), planned) << devices << " devices";
    }
    SmallTrainer trainer(training("cpu", devices));
    const LocalRunner& runner = trainer.bind({trainer.plan(29)});
    for (int step = 0; step < kCountedSteps; ++step) trainer.run(0, step);
    expect_links(runner.bound(0));
    EXPECT_TRUE(runner.port_bytes().empty());
  }
}

TEST_P(Counters, equal_the_plan_where_models_are_split) {
  for (const auto& [groups, split] : {std::pair{1, 2}, {1, 3}, {2, 2}, {3, 2}, {2, 4}}) {
    for (const char* kind : {"fake", "cpu"}) {
      const bool shared = std::get<0>(GetParam()) == ExchangeTopology::shared;
      if (shared && std::string(kind) == "fake") continue;  // no memory in common
      SmallTraining divided = training(kind, groups * split);
      divided.split = split;
      SmallTrainer trainer(divided);
      const LocalRunner& runner = trainer.bind({trainer.plan(29)});
      for (int step = 0; step < kCountedSteps; ++step) trainer.run(0, step);
      expect_links(runner.bound(0));
      EXPECT_GT(runner.plan(0).transfer_bytes(), 0u);
      EXPECT_EQ(runner.plan(0).exchange_bytes() > 0, groups > 1 && !shared);
      EXPECT_EQ(runner.plan(0).remote_read_bytes > 0, groups > 1 && shared);
      if (std::string(kind) == "cpu") continue;
      std::vector<std::uint64_t> planned;
      for (const std::size_t bytes : port_bytes(runner.plan(0), pairs(groups * split)))
        planned.push_back(kCountedSteps * bytes);
      EXPECT_EQ(runner.port_bytes(), planned) << groups << " groups of " << split;
    }
  }
}

// Two layers on two devices: forward the other half of what a layer reads, for each row; of the logits three numbers,
// and to one device how many come before the label; backward the other half of the first layer's diff, in parts of
// sums. Nothing for the input, whose gradient nobody needs.
TEST(Transfers, are_the_channels_that_others_have) {
  SmallTraining training;
  training.network = {{13},
                      {testing::fully_connected("wide", 158), testing::activation("s", ActivationKind::sigmoid),
                       testing::fully_connected("out", 12)},
                      {}};
  training.devices = testing::device_list("fake", 2);
  training.split = 2;
  training.topology = ExchangeTopology::direct;
  training.shards = 0;
  const Plan plan = SmallTrainer(training).plan(24);
  EXPECT_EQ(plan.exchange_bytes(), 0u);
  EXPECT_EQ(plan.transfer_bytes(), 24u * 4 * (2 * 79 + 2 * 3 + 1 + 2 * 79));
  EXPECT_EQ(plan.layer_transfer_bytes, (std::vector<std::size_t>{0, 24u * 4 * 2 * 79, 24u * 4 * (2 * 79 + 2 * 3 + 1)}));
}

// ... however many the classes are. Under `reproducible` these travel.
TEST(Transfers, of_a_loss_are_a_few_numbers_a_row) {
  for (const auto& [groups, split] : {std::pair{1, 2}, {2, 2}, {1, 3}, {2, 4}}) {
    for (const std::int64_t classes : {10, 1000}) {
      SmallTraining training;
      training.network = {{13}, {testing::fully_connected("out", classes)}, {}};
      training.devices = testing::device_list("fake", groups * split);
      training.split = split;
      training.topology = ExchangeTopology::direct;
      training.shards = 0;
      const auto others = static_cast<std::size_t>(split - 1);
      EXPECT_EQ(SmallTrainer(training).plan(24).transfer_bytes(), 24u * 4 * others * (split * 3 + 1))
          << groups << " x " << split << ", " << classes;
      training.shards = 12;
      EXPECT_EQ(SmallTrainer(training).plan(24).transfer_bytes(), 24u * 4 * others * classes);
    }
  }
}

// Devices exchange with those of their own partition alone, and each has a part of the model.
TEST(Transfers, leave_the_exchange_to_the_same_partitions) {
  SmallTraining training;
  training.network = odd_network();
  training.devices = testing::device_list("fake", 6);
  training.split = 2;
  training.topology = ExchangeTopology::direct;
  training.content = ExchangeContent::gradients;
  training.shards = 0;
  const Plan plan = SmallTrainer(training).plan(24);
  std::size_t exchanged = 0;
  for (const Step& step : plan.steps) {
    const auto* transfer = std::get_if<Transfer>(&step.body);
    if (transfer == nullptr || transfer->to == step.device) continue;
    if (step.stream == StreamKind::transfer) {
      EXPECT_EQ(step.device / 2, transfer->to / 2) << step.name;
    } else {
      EXPECT_EQ(step.device % 2, transfer->to % 2) << step.name;
      exchanged += transfer->bytes();
    }
  }
  // As one model's on three devices: each range from two others to its owner, and back.
  EXPECT_EQ(exchanged, plan.exchange_bytes());
  EXPECT_EQ(exchanged, static_cast<std::size_t>(build_network(odd_network()).parameter_elements()) * 4 * 2 * 2);
}

TEST_P(Counters, equal_the_plan_where_exchange_is_left_to_the_next_step) {
  const auto [topology, content] = GetParam();
  if (topology == ExchangeTopology::shared || content == ExchangeContent::factors) GTEST_SKIP() << "nothing is left";
  SmallTraining deferred = training("fake", 5);
  deferred.deferred = {2, 1};
  SmallTrainer trainer(deferred);
  LocalRunner& runner = trainer.bind(trainer.whole_batches());
  for (int step = 0; step < 3; ++step) trainer.run(0, step);
  const std::uint64_t whole = runner.plan(0).exchange_bytes();
  EXPECT_EQ(runner.plan(1).exchange_bytes() + runner.plan(2).exchange_bytes(), whole);
  EXPECT_EQ(runner.copied_bytes(), 2 * whole + runner.plan(1).exchange_bytes());
  runner.settle();
  EXPECT_EQ(runner.copied_bytes(), 3 * whole);
}

INSTANTIATE_TEST_SUITE_P(all, Counters,
                         ::testing::Combine(::testing::Values(ExchangeTopology::shared, ExchangeTopology::direct,
                                                              ExchangeTopology::line, ExchangeTopology::tree,
                                                              ExchangeTopology::ring),
                                            ::testing::Values(ExchangeContent::gradients, ExchangeContent::factors)),
                         [](const auto& test) {
                           return std::string(to_string(std::get<0>(test.param))) +
                                  (std::get<1>(test.param) == ExchangeContent::factors ? "_factors" : "_gradients");
                         });

// Through a switch the port of a card inside a line carries both directions of two hops.
TEST(Ports, of_an_inner_device_of_a_line_carry_two_hops) {
  const Network network = build_network(odd_network());
  SmallTraining training;
  training.network = odd_network();
  training.devices = testing::device_list("fake", 4);
  training.topology = ExchangeTopology::line;
  training.content = ExchangeContent::gradients;
  training.shards = 0;
  const SmallTrainer trainer(training);
  Machine machine = uniform_machine(4, {});
  machine.host = -1;
  const auto ports = port_bytes(trainer.plan(24), machine);
  const auto model = static_cast<std::size_t>(network.parameter_elements()) * 4;
  EXPECT_EQ(ports[0], model);      // the first device sends over its one hop
  EXPECT_EQ(ports[1], model);      // and gets
  EXPECT_EQ(ports[2], 2 * model);  // the second has two neighbours
  EXPECT_EQ(ports[3], 2 * model);
}

}  // namespace
}  // namespace hadal
