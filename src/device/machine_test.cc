// Ways through machines, and copies that share them.

#include "device/machine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "device/traffic.h"

namespace hadal {
namespace {

// 0 and 1 on one switch, 2 on another; a half-duplex link between the switches.
Machine two_switches() {
  Machine machine{.name = "m", .devices = {{"a"}, {"b"}, {"c"}}, .switches = {"s", "t"}};
  const LinkSpeed speed{1e6, 1e-3};
  machine.links = {{0, 3, speed}, {1, 3, speed}, {3, 4, speed, false}, {2, 4, speed}};
  return machine;
}

TEST(Route, takes_the_fewest_links) {
  Machine machine = two_switches();
  EXPECT_EQ(route(machine, 0, 1), (std::vector<int>{0, 3}));
  EXPECT_EQ(route(machine, 0, 2), (std::vector<int>{0, 4, 7}));
  EXPECT_EQ(route(machine, 2, 1), (std::vector<int>{6, 4, 3}));
  EXPECT_TRUE(route(machine, 1, 1).empty());
  machine.links.push_back({0, 2, {}, true});
  EXPECT_EQ(route(machine, 0, 2), std::vector<int>{8});
  EXPECT_EQ(route(machine, 2, 0), std::vector<int>{9});
  machine.links.pop_back();
  machine.links.pop_back();
  EXPECT_TRUE(route(machine, 0, 2).empty());
}

TEST(Route, is_the_fastest_of_those_with_as_few_links) {
  Machine machine{.name = "m", .devices = {{"a"}, {"b"}}, .switches = {"s", "t"}};
  const LinkSpeed slow{1e6, 0}, fast{6e9, 0};
  machine.links = {{0, 2, fast}, {2, 1, slow}, {0, 3, fast}, {3, 1, fast}};
  EXPECT_EQ(route(machine, 0, 1), (std::vector<int>{4, 6}));
  EXPECT_EQ(route(machine, 1, 0), (std::vector<int>{7, 5}));
  machine.links = {{0, 1, slow}, {0, 1, fast}};
  EXPECT_EQ(route(machine, 0, 1), std::vector<int>{2});
  EXPECT_EQ(route(machine, 1, 0), std::vector<int>{3});
}

TEST(Machine, names_its_ports) {
  const Machine machine = two_switches();
  EXPECT_EQ(machine.port_name(0), "a -> s");
  EXPECT_EQ(machine.port_name(1), "s -> a");
  EXPECT_EQ(machine.port_name(4), "s <-> t");
}

TEST(Machine, keeps_its_ways_where_devices_are_left_out) {
  const Machine whole = two_switches(), chosen = select_devices(whole, {2, 0});
  ASSERT_EQ(chosen.devices.size(), 2u);
  EXPECT_EQ(chosen.devices[0].name, "c");
  EXPECT_EQ(chosen.nodes(), whole.nodes());
  EXPECT_EQ(route(chosen, 1, 0), route(whole, 0, 2));
}

TEST(Machine, uniform_has_the_host_and_all_devices_on_one_switch) {
  const Machine machine = uniform_machine(3, {4e9, 8e-6});
  for (int from = 0; from < 3; ++from) {
    EXPECT_EQ(route(machine, machine.host, from).size(), 2u);
    for (int to = 0; to < 3; ++to) EXPECT_EQ(route(machine, from, to).size(), from == to ? 0u : 2u);
  }
  EXPECT_EQ(machine.links[0].speed.latency_seconds, 4e-6);
}

struct Sent {
  int from = 0, to = 0;
  std::size_t bytes = 0;
  double after_seconds = 0;
};

// The milliseconds that each of these copies takes while the others are under way.
std::vector<double> milliseconds(Traffic& traffic, const std::vector<Sent>& copies) {
  std::vector<double> took(copies.size());
  std::vector<std::thread> threads;
  const Abort abort;
  const Clock::time_point start = Clock::now() + std::chrono::milliseconds(5);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    threads.emplace_back([&, i] {
      const Sent& sent = copies[i];
      const auto begin =
          start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(sent.after_seconds));
      std::this_thread::sleep_until(begin);
      EXPECT_TRUE(traffic.carry(sent.from, sent.to, sent.bytes, begin, abort));
      took[i] = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return took;
}

// Never earlier; later only by what a busy machine makes of it.
void expect_milliseconds(const std::vector<double>& took, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < took.size(); ++i) {
    EXPECT_GE(took[i], expected[i] - 0.05) << "copy " << i;
    EXPECT_LT(took[i], expected[i] + 40) << "copy " << i;
  }
}

TEST(Traffic, alone_takes_latencies_and_the_slowest_port) {
  Traffic traffic(two_switches());
  expect_milliseconds(milliseconds(traffic, {{0, 2, 50'000}}), {53});
}

TEST(Traffic, copies_through_one_port_share_it) {
  Traffic traffic(two_switches());
  // Both into device 1: the first alone for a millisecond, then both at half the rate, then the second alone.
  expect_milliseconds(milliseconds(traffic, {{0, 1, 40'000}, {2, 1, 100'000}}), {2 + 1 + 78, 3 + 78 + 61});
}

TEST(Traffic, ways_without_a_common_port_do_not_share) {
  Traffic traffic(two_switches());
  const std::vector<double> took = milliseconds(traffic, {{0, 1, 100'000}, {1, 0, 100'000}});
  expect_milliseconds(took, {102, 102});
}

TEST(Traffic, both_ways_share_a_half_duplex_link) {
  Traffic traffic(two_switches());
  expect_milliseconds(milliseconds(traffic, {{0, 2, 50'000}, {2, 1, 50'000}}), {103, 103});
}

TEST(Traffic, who_comes_later_slows_who_is_there) {
  Traffic traffic(two_switches());
  // 30 ms alone, 60 ms by halves, and the first has 20 ms left alone.
  expect_milliseconds(milliseconds(traffic, {{0, 1, 80'000}, {2, 1, 30'000, 0.03 - 0.001}}), {2 + 110, 3 + 60});
}

TEST(Traffic, ports_count_what_goes_through_them) {
  Traffic traffic(two_switches());
  milliseconds(traffic, {{0, 2, 1000}, {2, 0, 300}, {0, 1, 50}, {1, 1, 7}});
  EXPECT_EQ(traffic.port_bytes(), (std::vector<std::uint64_t>{1050, 300, 0, 50, 1300, 0, 300, 1000}));
}

TEST(Traffic, ends_at_once_where_the_round_is_aborted) {
  Traffic traffic(two_switches());
  Abort abort;
  std::thread raises([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    abort.raise();
  });
  const Clock::time_point begin = Clock::now();
  EXPECT_FALSE(traffic.carry(0, 1, 100'000'000, begin, abort));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
  raises.join();
  EXPECT_FALSE(traffic.carry(0, 1, 10, Clock::now(), abort));
}

}  // namespace
}  // namespace hadal
