// Predictions where a formula says what they must be.

#include "plan/simulate.h"

#include <gtest/gtest.h>

#include "plan/choose.h"
#include "plan/cost.h"
#include "testing/networks.h"
#include "testing/plans.h"

namespace hadal {
namespace {

constexpr std::int64_t kIn = 1000, kOut = 1200;  // divides evenly among 2, 3, 4, 5, 6, 8 devices

NetworkSpec one_layer() { return {{kIn}, {testing::fully_connected("only", kOut)}, {}}; }

PlanOptions layer_options(ExchangeTopology topology, int devices,
                          ExchangeContent content = ExchangeContent::gradients) {
  return testing::plan_options(topology, devices, content, 240);
}

// Kernels and loads take no time.
Machine only_links(Machine machine) {
  for (MachineDevice& device : machine.devices) device.speed = {1e18, 1e18, 0};
  machine.host = -1;
  return machine;
}

double simulated(const NetworkSpec& spec, const PlanOptions& options, const Machine& machine) {
  return simulate(build_plan(build_network(spec), options), machine).step_seconds;
}

TEST(Simulate, one_device_takes_the_sum_of_its_kernels) {
  const Network network = build_network(testing::small_lenet());
  PlanOptions options = layer_options(ExchangeTopology::shared, 1);
  const Plan plan = build_plan(network, options);
  Machine machine = uniform_machine(1, {});
  machine.host = -1;
  double seconds = 0;
  for (const Step& step : plan.steps) {
    if (const auto* compute = std::get_if<Compute>(&step.body)) {
      seconds += kernel_seconds(compute->op, machine.devices[0].speed);
    }
  }
  const Simulation result = simulate(plan, machine);
  EXPECT_NEAR(result.step_seconds, seconds, 1e-12);
  EXPECT_NEAR(result.compute_seconds[0], seconds, 1e-12);
  EXPECT_STREQ(result.bound_by(), "compute");
}

// On one switch a device's port sends all of the gradient but its own range, and then its range to all others: both
// (N - 1) / N of the model, which flow at the rate of a port, whoever they flow to.
TEST(Simulate, direct_exchange_on_a_switch_takes_its_ports) {
  const double model = (kIn + 1) * kOut * 4, rate = 1e9;
  for (const int devices : {2, 3, 4, 6}) {
    const double expected = 2 * model * (devices - 1) / devices / rate;
    const double seconds = simulated(one_layer(), layer_options(ExchangeTopology::direct, devices),
                                     only_links(uniform_machine(devices, {rate, 0})));
    EXPECT_GE(seconds, expected * 0.999) << devices;
    EXPECT_LT(seconds, expected * 1.01) << devices;
  }
  EXPECT_NEAR(
      simulated(one_layer(), layer_options(ExchangeTopology::direct, 2), only_links(uniform_machine(2, {rate, 0}))),
      model / rate, 0.001 * model / rate);
}

TEST(Simulate, a_slow_link_bounds_what_crosses_it) {
  // Two devices to a switch; between the switches both ways share 1e8 bytes a second.
  Machine machine{.name = "m", .devices = {{"a"}, {"b"}, {"c"}, {"d"}}, .switches = {"s", "t"}};
  for (int d = 0; d < 4; ++d) machine.devices[static_cast<std::size_t>(d)].memory = d;
  const LinkSpeed fast{1e12, 0}, slow{1e8, 0};
  machine.links = {{0, 4, fast}, {1, 4, fast}, {2, 5, fast}, {3, 5, fast}, {4, 5, slow, false}};
  const double model = (kIn + 1) * kOut * 4;
  // A line crosses it between b and c: the model each way.
  const PlanOptions options = layer_options(ExchangeTopology::line, 4);
  const Plan plan = build_plan(build_network(one_layer()), options);
  const Simulation result = simulate(plan, only_links(machine));
  EXPECT_NEAR(result.step_seconds, 2 * model / 1e8, 0.01 * 2 * model / 1e8);
  EXPECT_EQ(result.port_bytes[8], static_cast<std::size_t>(2 * model));
  EXPECT_NEAR(result.port_seconds[8], result.step_seconds, 0.01 * result.step_seconds);
  EXPECT_STREQ(result.bound_by(), "exchange");
}

TEST(Simulate, latencies_add_up_along_the_way) {
  const Machine machine = only_links(uniform_machine(2, {1e18, 0.02}));
  // Weights to their owner and back while biases go there; then these come back.
  EXPECT_NEAR(simulated(one_layer(), layer_options(ExchangeTopology::direct, 2), machine), 3 * 0.02, 1e-6);
}

TEST(Simulate, input_bounds_where_loads_are_slow) {
  Machine machine = uniform_machine(2, {1e18, 0});
  machine.links.back().speed.bytes_per_second = 1e6;  // the host's
  const Plan plan = build_plan(build_network(one_layer()), layer_options(ExchangeTopology::direct, 2));
  const Simulation result = simulate(plan, machine);
  EXPECT_STREQ(result.bound_by(), "input");
  EXPECT_NEAR(result.input_seconds, 240 * kIn * 4 / 1e6, 0.05);
}

TEST(Choose, takes_the_fastest_and_says_what_the_others_would_take) {
  const Network network = build_network(one_layer());
  PlanOptions options = layer_options(ExchangeTopology::direct, 4, ExchangeContent::automatic);
  const Machine machine = only_links(uniform_machine(4, {1e9, 0}));
  const auto ways = choose_exchange(network, options, machine, {true, true});
  ASSERT_EQ(ways.size(), 8u);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    PlanOptions again = options;
    again.topology = ways[i].topology;
    again.content = ways[i].content;
    EXPECT_EQ(simulate(build_plan(network, again), machine).step_seconds, ways[i].step_seconds);
    EXPECT_GE(ways[i].step_seconds, ways[i == 0 ? 0 : i - 1].step_seconds * (1 - 1e-9));
  }
  EXPECT_EQ(options.topology, ways[0].topology);
  EXPECT_EQ(options.content, ways[0].content);
}

TEST(Choose, leaves_what_is_not_free) {
  const Network network = build_network(one_layer());
  const Machine machine = uniform_machine(3, {});
  PlanOptions options = layer_options(ExchangeTopology::ring, 3);
  EXPECT_EQ(choose_exchange(network, options, machine, {false, true}).size(), 1u);
  EXPECT_EQ(options.topology, ExchangeTopology::ring);
  EXPECT_EQ(options.content, ExchangeContent::gradients);
  // Under `reproducible` what is sent is part of the result.
  options = layer_options(ExchangeTopology::ring, 3, ExchangeContent::automatic);
  options.reproducible_shards = 12;
  for (const Considered& way : choose_exchange(network, options, machine, {true, true})) {
    EXPECT_EQ(way.content, ExchangeContent::automatic);
  }
}

}  // namespace
}  // namespace hadal
