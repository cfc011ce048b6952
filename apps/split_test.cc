// Models split over the devices of groups, as a user runs them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::SmallWorkplace;

// Layers that bring channels, some that need not, and one too narrow to be divided.
constexpr const char* kWide = R"(name: wide
seed: 3
network:
  input: [1, 12, 12]
  layers:
    - conv: {name: stem, out: 34, kernel: 3}
    - relu
    - lrn: {size: 5, alpha: 0.1}
    - max_pool: {kernel: 2}
    - conv: {name: grouped, out: 68, kernel: 3, groups: 2}
    - batch_norm
    - relu
    - fully_connected: {name: hidden, out: 50}
    - relu
    - dropout: {p: 0.2}
    - fully_connected: {name: logits, out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 12
solver:
  epochs: 2
  rule: {sgd: {rate: 0.02, momentum: 0.9}}
checkpoint: {every_steps: 5, keep: 3}
)";
constexpr std::size_t kSteps = 20;

class Split : public ::testing::Test {
 protected:
  Split() { place_.write("job.yaml", kWide); }

  CommandResult train(const std::string& out, const std::string& devices, int split,
                      const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"train", "job.yaml",  "--out", out,       "--devices",
                                       devices, "--threads", "1",     "--split", std::to_string(split)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return place_.hadal(arguments);
  }

  std::vector<double> losses(const std::string& run) const {
    std::vector<double> values;
    for (const json& line : testing::json_lines(place_.read(run + "/metrics.jsonl"))) values.push_back(line["loss"]);
    return values;
  }

  // At the first step where the loss has fallen to 0.8 of its start, it is the same.
  void expect_same_losses(const std::string& run, const std::string& whole) const {
    const std::vector<double> one = losses(whole), other = losses(run);
    ASSERT_EQ(one.size(), kSteps);
    ASSERT_EQ(other.size(), kSteps);
    const auto fallen = std::find_if(one.begin(), one.end(), [&](double loss) { return loss <= 0.8 * one[0]; });
    ASSERT_NE(fallen, one.end());
    EXPECT_NEAR(other[static_cast<std::size_t>(fallen - one.begin())], *fallen, 1e-5 * *fallen) << run;
    const json tested = place_.summary(run)["test"], expected = place_.summary(whole)["test"];
    EXPECT_NEAR(tested["loss"], expected["loss"], 1e-3) << run;
  }

  SmallWorkplace place_;
};

TEST_F(Split, models_reach_the_loss_of_one_device) {
  ASSERT_EQ(train("one", "cpu:0", 1).exit_code, 0);
  for (const std::string kind : {"cpu", "fake"}) {
    for (const auto& [count, split] : {std::pair{2, 2}, {4, 2}, {3, 3}, {4, 4}, {6, 3}}) {
      std::string devices;
      for (int d = 0; d < count; ++d) devices += (d > 0 ? "," : "") + kind + ":" + std::to_string(d);
      const std::string run = kind + std::to_string(count) + "_" + std::to_string(split);
      const CommandResult result = train(run, devices, split);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      expect_same_losses(run, "one");
    }
  }
}

TEST_F(Split, runs_go_on_with_another_division) {
  ASSERT_EQ(train("one", "cpu:0", 1).exit_code, 0);
  ASSERT_EQ(train("moved", "fake:0,fake:1,fake:2,fake:3", 2, {"--max-steps", "4"}).exit_code, 0);
  ASSERT_EQ(train("moved", "cpu:0", 1, {"--resume", "--max-steps", "8"}).exit_code, 0);
  ASSERT_EQ(train("moved", "cpu:0,cpu:1,cpu:2,cpu:3", 4, {"--resume", "--max-steps", "13"}).exit_code, 0);
  const CommandResult last = train("moved", "fake:0,fake:1", 2, {"--resume"});
  ASSERT_EQ(last.exit_code, 0) << last.err;
  expect_same_losses("moved", "one");
  // Models know nothing of it, and are used where there is one device, or as they were trained.
  for (const std::string& run : {std::string("moved"), std::string("moved/model.safetensors")}) {
    const CommandResult evaluated =
        place_.hadal({"eval", run, "--json", "--data", run == "moved" ? "test" : "test-images-idx3-ubyte"});
    if (run == "moved") {
      ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
      EXPECT_NEAR(evaluated.json()["loss"], place_.summary("moved")["test"]["loss"], 1e-5);
    }
    const CommandResult predicted = place_.hadal({"predict", run, "test-images-idx3-ubyte:0-3", "--json"});
    ASSERT_EQ(predicted.exit_code, 0) << predicted.err;
    EXPECT_EQ(testing::lines(predicted.out).size(), 4u);
  }
}

TEST_F(Split, plans_say_who_has_what_and_runs_count_it) {
  const std::string devices = "fake:0,fake:1,fake:2,fake:3";
  const CommandResult planned = place_.hadal({"plan", "job.yaml", "--json", "--devices", devices, "--split", "2"});
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const json plan = planned.json();
  std::vector<int> parts;
  std::size_t transfers = 0;
  for (const json& layer : plan["layers"]) {
    parts.push_back(layer["split"]);
    transfers += layer["transfer_bytes_per_step"].get<std::size_t>();
  }
  EXPECT_EQ(parts, (std::vector<int>{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}));
  EXPECT_EQ(plan["transfer_bytes_per_step"], transfers);
  EXPECT_GT(transfers, 0u);
  std::vector<int> splits;
  for (const json& way : plan["considered_splits"]) splits.push_back(way["split"]);
  EXPECT_THAT(splits, ::testing::UnorderedElementsAre(1, 2, 4));
  ASSERT_EQ(train("run", devices, 2, {"--max-steps", "6"}).exit_code, 0);
  const json exchange = place_.summary("run")["exchange"];
  EXPECT_EQ(exchange["bytes_per_step"], plan["exchange_bytes_per_step"]);
  EXPECT_EQ(exchange["transfer_bytes_per_step"], plan["transfer_bytes_per_step"]);
  std::size_t links = 0;
  for (const json& link : exchange["links"]) links += link["bytes_per_step"].get<std::size_t>();
  EXPECT_EQ(links, transfers + plan["exchange_bytes_per_step"].get<std::size_t>());
  EXPECT_EQ(exchange["copied_bytes"], 6 * links);
  const CommandResult table = place_.hadal({"plan", "job.yaml", "--devices", devices, "--split", "2"});
  EXPECT_THAT(table.out, HasSubstr("2 groups of 2 devices"));
  EXPECT_THAT(table.out, HasSubstr("groups x split"));
}

TEST_F(Split, that_cannot_be_is_refused_with_what_would_do) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& what) {
    std::vector<std::string> all{"train", "job.yaml"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const CommandResult result = place_.hadal(all);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(what));
    EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
  };
  refused({"--devices", "cpu:0,cpu:1,cpu:2", "--split", "2"}, "use split: 1 or 3");
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--groups", "2"}, "must be the number of devices, 2");
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--set", "reproducible=true"}, "reproducible: false");
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--set", "exchange.topology=shared"}, "topology: auto");
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--set", "solver.clip_norm=1"}, "clip_norm: none");
}

}  // namespace
}  // namespace hadal
