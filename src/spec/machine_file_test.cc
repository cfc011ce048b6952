// machine.yaml: what it means, and what is said of one that means nothing.

#include "spec/machine_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"

namespace hadal {
namespace {

constexpr const char* kPair = R"(name: pair
devices:
  - {name: a, flops_per_second: 2e12, memory_bytes: 4e9}
  - {name: b, memory: near}
  - {name: c, memory: near}
switches: [s, root]
links:
  - {between: [a, s], bytes_per_second: 5e9, latency_seconds: 2e-6}
  - {between: [s, b]}
  - {between: [c, s]}
  - {between: [s, root], duplex: half}
host: root
)";

TEST(MachineFile, is_read_as_it_is_written) {
  const Machine machine = parse_machine(kPair, "m.yaml");
  ASSERT_EQ(machine.devices.size(), 3u);
  EXPECT_EQ(machine.devices[0].speed.flops_per_second, 2e12);
  EXPECT_EQ(machine.devices[0].memory_bytes, 4e9);
  EXPECT_NE(machine.devices[0].memory, machine.devices[1].memory);
  EXPECT_EQ(machine.devices[1].memory, machine.devices[2].memory);
  EXPECT_EQ(machine.links[0].speed.bytes_per_second, 5e9);
  EXPECT_EQ(machine.links[1].speed.bytes_per_second, 6e9);
  EXPECT_FALSE(machine.links[3].full_duplex);
  EXPECT_EQ(machine.node_name(machine.host), "root");
  EXPECT_EQ(route(machine, 0, 1), (std::vector<int>{0, 2}));
  EXPECT_EQ(route(machine, 1, 0), (std::vector<int>{3, 1}));
  EXPECT_EQ(route(machine, machine.host, 2), (std::vector<int>{6, 5}));
  EXPECT_EQ(route(machine, 2, machine.host), (std::vector<int>{4, 6}));
}

TEST(MachineFile, is_written_as_it_is_read) {
  const std::string text = to_yaml(parse_machine(kPair, "m.yaml"));
  EXPECT_EQ(to_yaml(parse_machine(text, "again.yaml")), text);
  for (const char* says : {"memory_bytes: 4000000000", "flops_per_second: 2000000000000", "duplex: half", "host: root",
                           "bytes_per_second: 5000000000", "latency_seconds: 2e-06"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(says));
  }
}

TEST(MachineFile, names_may_be_anything) {
  Machine machine{.name = "a: b"};
  for (const char* name : {"true", "null", "1e3", "x, y", "#", "[", "'", "a b"}) {
    machine.devices.push_back({.name = name, .memory = static_cast<int>(machine.devices.size())});
    machine.links.push_back({static_cast<int>(machine.links.size()), 8, {}, true});
  }
  machine.switches = {"- s"};
  const Machine again = parse_machine(to_yaml(machine), "again.yaml");
  EXPECT_EQ(again.name, machine.name);
  ASSERT_EQ(again.devices.size(), machine.devices.size());
  for (std::size_t d = 0; d < machine.devices.size(); ++d) EXPECT_EQ(again.devices[d].name, machine.devices[d].name);
  EXPECT_EQ(again.switches, machine.switches);
}

TEST(MachineFile, examples_are_read) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(HADAL_SOURCE_DIR "/examples/machines")) {
    const Machine machine = load_machine(file.path().string());
    EXPECT_GE(machine.devices.size(), 6u) << file.path();
    EXPECT_GE(machine.host, 0) << file.path();
    ++count;
  }
  EXPECT_GE(count, 2);
}

struct Wrong {
  std::string text, says;
};

TEST(MachineFile, says_where_it_is_wrong) {
  const std::string one = "name: m\ndevices: [{name: a}]\n", two = "name: m\ndevices: [{name: a}, {name: b}]\n";
  const Wrong kWrong[] = {
      {"", "m.yaml: is empty; a machine needs name and devices"},
      {"name: m\n", "m.yaml:1:1: machine.yaml needs 'devices'"},
      {"name: m\ndevices: []\n", "m.yaml:2:10: devices must be 1 to 1024"},
      {one + "link: []\n", "m.yaml:3:1: machine.yaml has no key 'link'; did you mean 'links'?"},
      {"name: m\ndevices: [{name: a, flops: 1}]\n", "m.yaml:2:21: devices has no option 'flops'"},
      {"name: m\ndevices: [{name: a, flops_per_second: 0}]\n",
       "m.yaml:2:39: devices.flops_per_second must be a number from 1 to 1e+18, not '0'"},
      {"name: m\ndevices: [{name: a}, {name: a}]\n", "m.yaml:2:22: the name 'a' stands twice"},
      {one + "switches: [a]\n", "m.yaml:3:12: the name 'a' stands twice"},
      {two, "m.yaml:2:22: no links lead from 'b' to 'a'"},
      {two + "links: [{between: [a, bb]}]\n", "m.yaml:3:19: there is no device or switch 'bb'"},
      {two + "links: [{between: [a, a]}]\n", "m.yaml:3:19: a link joins 'a' to itself"},
      {two + "links: [{between: a}]\n", "m.yaml:3:19: links.between must be two names, as [card0, switch0]"},
      {two + "links: [{between: [a, b], duplex: hlaf}]\n",
       "m.yaml:3:35: links.duplex must be full or half, not 'hlaf'"},
      {one + "switches: [s]\nhost: s\n", "m.yaml:4:7: no links lead from the host to 'a'"},
      {one + "host: h\n", "m.yaml:3:7: there is no device or switch 'h'"},
  };
  for (const Wrong& wrong : kWrong) {
    try {
      parse_machine(wrong.text, "m.yaml");
      ADD_FAILURE() << wrong.text << "was read";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), ::testing::StartsWith(wrong.says));
    }
  }
}

}  // namespace
}  // namespace hadal
