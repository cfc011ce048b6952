// hadal plan on described machines, and doctor's description of this one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::SmallWorkplace;

constexpr const char* kMachine = R"(name: "two <pairs>"
devices:
  - {name: left0, memory_bytes: 2e9}
  - {name: left1}
  - {name: right0}
  - {name: right1}
switches: [left, right]
links:
  - {between: [left0, left]}
  - {between: [left1, left]}
  - {between: [right0, right]}
  - {between: [right1, right]}
  - {between: [left, right], bytes_per_second: 1e6, duplex: half}
host: left
)";

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<std::string>(stream), {}};
}

class PlanOnMachine : public ::testing::Test {
 protected:
  PlanOnMachine() { place_.write("machine.yaml", kMachine); }

  json plan(const std::string& flags) {
    const CommandResult result = place_.hadal(words("plan job.yaml --json --machine machine.yaml " + flags));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out);
  }

  SmallWorkplace place_;
};

TEST_F(PlanOnMachine, is_for_all_its_devices_or_those_that_are_named) {
  const json all = plan("");
  ASSERT_EQ(all["devices"].size(), 4u);
  EXPECT_EQ(all["devices"][2]["name"], "right0");
  EXPECT_EQ(all["machine"], "two <pairs>");
  const json two = plan("--devices right1,left0");
  ASSERT_EQ(two["devices"].size(), 2u);
  EXPECT_EQ(two["devices"][0]["name"], "right1");
  EXPECT_EQ(plan("--devices fake:3,fake:0")["devices"], two["devices"]);
}

TEST_F(PlanOnMachine, takes_the_fastest_topology_and_shows_what_bounds_it) {
  const json all = plan("");
  ASSERT_GE(all["considered"].size(), 4u);
  double before = 0;
  for (const json& way : all["considered"]) {
    EXPECT_GE(way["step_seconds"].get<double>(), before * (1 - 1e-9));
    before = way["step_seconds"];
  }
  EXPECT_EQ(all["topology"], all["considered"][0]["topology"]);
  EXPECT_EQ(all["undeferred_step_seconds"], all["considered"][0]["step_seconds"]);
  EXPECT_EQ(all["bound_by"], "exchange");
  for (const json& way : all["considered"]) {
    const json forced = plan("--set exchange.topology=" + way["topology"].get<std::string>() +
                             " --set exchange.content=" + way["content"].get<std::string>());
    EXPECT_EQ(forced["undeferred_step_seconds"], way["step_seconds"]);
  }
  double slow = 0, others = 0;
  for (const json& port : all["ports"]) {
    (port["name"] == "left <-> right" ? slow : others) =
        std::max(port["name"] == "left <-> right" ? slow : others, port["busy_seconds"].get<double>());
  }
  EXPECT_GT(slow, 10 * others);
}

TEST_F(PlanOnMachine, leaves_exchange_to_the_next_step_where_that_is_faster) {
  // Kernels take about as long as copies.
  std::string machine = kMachine;
  machine.replace(machine.find("bytes_per_second: 1e6"), 21, "bytes_per_second: 5e9");
  place_.write("machine.yaml", machine);
  const std::string flags = "--set reproducible=false --set exchange.content=gradients ";
  const json chosen = plan(flags);
  EXPECT_GT(chosen["deferred_layers"], 0);
  EXPECT_LT(chosen["step_seconds"], chosen["undeferred_step_seconds"]);
  for (const int layers : {0, 1, 100}) {
    const json forced = plan(flags + "--set exchange.deferred_layers=" + std::to_string(layers));
    EXPECT_EQ(forced["deferred_layers"] == 0, layers == 0);
    EXPECT_GE(forced["step_seconds"], chosen["step_seconds"].get<double>() * (1 - 1e-9));
    EXPECT_EQ(forced["undeferred_step_seconds"], chosen["undeferred_step_seconds"]);
    EXPECT_EQ(forced["exchange_bytes_per_step"], chosen["exchange_bytes_per_step"]);
  }
  const CommandResult table = place_.hadal(words("plan job.yaml --machine machine.yaml " + flags));
  EXPECT_THAT(table.out, HasSubstr("is left to the next step's forward pass: "));
}

TEST_F(PlanOnMachine, is_drawn) {
  const CommandResult result = place_.hadal(words("plan job.yaml --machine machine.yaml --svg plan.svg"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("exchange as "));
  const std::string svg = place_.read("plan.svg");
  for (const char* text : {"<svg ", "left0", "right1", "two &lt;pairs&gt;", "(host)", "</svg>"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  // A drawing may be drawn anew.
  EXPECT_EQ(place_.hadal(words("plan job.yaml --machine machine.yaml --svg plan.svg")).exit_code, 0);
}

TEST_F(PlanOnMachine, passes_over_ways_that_do_not_fit) {
  const auto peak = [](const json& plan) {
    double most = 0;
    for (const json& device : plan["devices"]) most = std::max(most, device["peak_bytes"].get<double>());
    return most;
  };
  const json fastest = plan("");
  const std::string smaller = " --set exchange.topology=direct --set exchange.content=auto";
  ASSERT_LT(peak(plan(smaller)), peak(fastest)) << "the machine's fastest way is not the largest";
  // Room for what needs less, scratch included, and for no more.
  std::string machine = kMachine;
  const std::string room = std::to_string(static_cast<long>((peak(plan(smaller)) + peak(fastest)) / 2));
  for (const char* name : {"left1", "right0", "right1"}) {
    const std::string device = std::string("{name: ") + name + "}";
    machine.replace(machine.find(device), device.size(),
                    std::string("{name: ") + name + ", memory_bytes: " + room + "}");
  }
  machine.replace(machine.find("memory_bytes: 2e9"), 17, "memory_bytes: " + room);
  place_.write("machine.yaml", machine);
  const json chosen = plan("");
  EXPECT_LE(peak(chosen), std::stod(room));
  EXPECT_EQ(chosen["considered"][0]["fits"], true);
  EXPECT_TRUE(std::any_of(chosen["considered"].begin(), chosen["considered"].end(),
                          [](const json& way) { return way["fits"] == false; }));
}

TEST_F(PlanOnMachine, says_what_is_wrong) {
  const auto error = [&](const std::string& command) {
    const CommandResult result = place_.hadal(words(command));
    EXPECT_EQ(result.exit_code, 2) << command;
    return result.err;
  };
  EXPECT_THAT(error("plan job.yaml --machine none.yaml"), HasSubstr("none.yaml: cannot be read: No such file"));
  EXPECT_THAT(error("plan job.yaml --machine machine.yaml --devices left9"),
              HasSubstr("the machine has no device 'left9'; its devices are left0, left1, right0 or right1"));
  EXPECT_THAT(error("plan job.yaml --set parallel.machine=machine.yaml --devices fake:0,fake:4"),
              HasSubstr("machine.yaml has 4 devices, numbered from 0: there is no fake:4"));
  EXPECT_THAT(error("plan job.yaml --set parallel.machine=gone.yaml"),
              HasSubstr("parallel.machine: there is no file gone.yaml here"));
  const std::string job = place_.read("job.yaml");
  EXPECT_THAT(error("plan job.yaml --machine machine.yaml --svg nowhere/plan.svg"),
              HasSubstr("nowhere/plan.svg: there is no folder nowhere; make it first"));
  EXPECT_THAT(error("plan job.yaml --machine machine.yaml --svg job.yaml"),
              HasSubstr("--svg job.yaml: is there already and is no drawing"));
  EXPECT_EQ(place_.read("job.yaml"), job);
  place_.write("broken.yaml", "name: m\ndevices: [{name: a, speed: 1}]\n");
  EXPECT_THAT(error("plan job.yaml --machine broken.yaml"),
              HasSubstr("broken.yaml:2:21: devices has no option 'speed'"));
}

TEST_F(PlanOnMachine, is_kept_to_by_fake_devices) {
  // Over 1 MB a second a step cannot take less than this.
  const json planned = plan("--devices left0,right0");
  const CommandResult run = place_.hadal(words(
      "train job.yaml --json --out run --max-steps 8 --devices fake:0,fake:2 --set parallel.machine=machine.yaml"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json summary = json::parse(place_.read("run/summary.json"));
  const json plan_of_run = json::parse(place_.read("run/plan.json"));
  EXPECT_EQ(plan_of_run["step_seconds"], planned["step_seconds"]);
  EXPECT_GE(summary["train_seconds"].get<double>(), 8 * 0.9 * planned["step_seconds"].get<double>());
}

// The page is what the simulator says today, and the simulator is near the page's formulas.
TEST(ReferenceFigures, page_is_what_the_script_makes) {
  const testing::TemporaryFolder folder;
  const std::string page = folder.path("page.md");
  const std::string command =
      "python3 " HADAL_SOURCE_DIR "/tools/reference_figures.py " HADAL_BINARY_DIR "/hadal > " + page;
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(testing::contents(page), testing::contents(HADAL_SOURCE_DIR "/docs/reference_figures.md"))
      << "make it anew: tools/reference_figures.py > docs/reference_figures.md";
}

TEST(Devices, may_be_named_with_spaces) {
  const SmallWorkplace place;
  const CommandResult result = place.hadal({"plan", "job.yaml", "--json", "--devices", "fake:0, fake:2 ,fake:1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["devices"][1]["name"], "fake:2");
}

TEST(Doctor, describes_this_machine) {
  const SmallWorkplace place;
  const CommandResult written = place.hadal(words("doctor --machine here.yaml"));
  ASSERT_EQ(written.exit_code, 0) << written.err;
  const CommandResult planned = place.hadal(words("plan job.yaml --json --machine here.yaml"));
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const json plan = json::parse(planned.out);
  EXPECT_EQ(plan["devices"][0]["name"], "cpu:0");
  EXPECT_EQ(plan["topology"], "shared");
  const CommandResult again = place.hadal(words("doctor --machine here.yaml"));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("here.yaml: is there already"));
}

}  // namespace
}  // namespace hadal
