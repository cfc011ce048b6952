// Models split over the devices of groups, as a user runs them.

#include <fmt/format.h>
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
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
    EXPECT_NEAR(evaluated.json()["loss"], place_.summary("moved")["test"]["loss"], 1e-5);
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
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--set", "reproducible=true", "--set", "precision=bf16"},
          "reproducible: false");
  refused({"--devices", "cpu:0,cpu:1,cpu:2", "--split", "3", "--set", "reproducible.chunks=2"},
          "more than reproducible.chunks");
  refused({"--devices", "cpu:0,cpu:1,cpu:2,cpu:3", "--split", "auto", "--groups", "3"}, "use groups: 1, 2 or 4");
  refused({"--devices", "cpu:0,cpu:1", "--split", "atuo"}, "auto or a whole number");
  refused({"--devices", "cpu:0,cpu:1,cpu:2", "--split", "3", "--set", "network.layers.4.conv.split=divide"},
          "grouped.split: divide: its 2 groups cannot be shared evenly by 3 parts");
  refused({"--devices", "cpu:0,cpu:1", "--split", "2", "--set", "network.layers.6.relu.split=whole"},
          "set split of the conv or fully_connected below it");
}

TEST_F(Split, layers_are_divided_as_they_say) {
  const auto planned = [&](const std::vector<std::string>& sets) {
    std::vector<std::string> arguments{"plan", "job.yaml", "--json", "--devices", "fake:0,fake:1", "--split", "2"};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const CommandResult result = place_.hadal(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.json()["layers"];
  };
  const json plain = planned({}),
             said = planned({"network.layers.0.conv.split=whole", "network.layers.10.fully_connected.split=divide"});
  EXPECT_EQ(plain[0]["split"], 2);
  EXPECT_EQ(plain[10]["split"], 1);
  EXPECT_EQ(plain[10]["split_reason"], "narrow");
  EXPECT_EQ(said[0]["split"], 1);
  EXPECT_EQ(said[0]["split_reason"], "asked");
  EXPECT_EQ(said[1]["split_reason"], "as its input");
  EXPECT_EQ(said[10]["split"], 2);
  ASSERT_EQ(train("one", "cpu:0", 1).exit_code, 0);
  ASSERT_EQ(
      train("said", "fake:0,fake:1", 2,
            {"--set", "network.layers.0.conv.split=whole", "--set", "network.layers.10.fully_connected.split=divide"})
          .exit_code,
      0);
  expect_same_losses("said", "one");
}

TEST_F(Split, models_are_clipped_by_the_norm_of_all_parts) {
  const std::vector<std::string> clip{"--set", "solver.clip_norm=0.3"};
  ASSERT_EQ(train("one", "cpu:0", 1, clip).exit_code, 0);
  ASSERT_EQ(train("four", "fake:0,fake:1,fake:2,fake:3", 2, clip).exit_code, 0);
  expect_same_losses("four", "one");
  const auto norms = [&](const std::string& run) {
    std::vector<double> values;
    for (const json& line : testing::json_lines(place_.read(run + "/metrics.jsonl")))
      values.push_back(line["gradient_norm"]);
    return values;
  };
  const std::vector<double> one = norms("one"), four = norms("four");
  ASSERT_EQ(one.size(), four.size());
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(four[i], one[i], 1e-4 * one[i]);
  EXPECT_GT(one[0], 0.3);
}

// Slow links, over which a model that is divided brings less than one that is not.
constexpr const char* kSlow = R"(name: slow
devices:
  - {name: a, memory_bytes: 1e9}
  - {name: b, memory_bytes: 1e9}
  - {name: c, memory_bytes: 1e9}
  - {name: d, memory_bytes: 1e9}
switches: [hub]
links:
  - {between: [a, hub], bytes_per_second: 1e8, latency_seconds: 0}
  - {between: [b, hub], bytes_per_second: 1e8, latency_seconds: 0}
  - {between: [c, hub], bytes_per_second: 1e8, latency_seconds: 0}
  - {between: [d, hub], bytes_per_second: 1e8, latency_seconds: 0}
)";
constexpr const char* kMany = R"(name: many
network:
  input: [256]
  layers: [fully_connected: {name: a, out: 1024}, relu, fully_connected: {name: b, out: 1024}, fully_connected: {out: 16}]
data: {train: {synthetic: {samples: 96, classes: 16}}, batch: 8}
solver: {epochs: 1, rule: {sgd: {rate: 0.01, momentum: 0.9}}}
exchange: {content: gradients}
checkpoint: {every_steps: 4}
parallel: {devices: [fake:0, fake:1, fake:2, fake:3], split: auto, machine: slow.yaml}
)";

class AutoSplit : public ::testing::Test {
 protected:
  AutoSplit() {
    place_.write("many.yaml", kMany);
    place_.write("slow.yaml", kSlow);
  }

  json plan(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"plan", "many.yaml", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = place_.hadal(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.json();
  }

  CommandResult train(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"train", "many.yaml", "--out", "run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return place_.hadal(arguments);
  }

  // With so much memory on each device; and where only computing takes time, of which whole groups do some twice.
  static std::string machine(double memory_bytes, bool computes = false) {
    std::string text = kSlow;
    const auto replace = [&](const std::string& from, const std::string& to) {
      for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    };
    const std::string slow = computes ? ", flops_per_second: 1e9, memory_bytes_per_second: 1e13" : "";
    replace("memory_bytes: 1e9", fmt::format("memory_bytes: {:.0f}{}", memory_bytes, slow));
    if (computes) replace("bytes_per_second: 1e8", "bytes_per_second: 1e13");
    return text;
  }

  testing::Workplace place_;
};

TEST_F(AutoSplit, is_the_fastest_of_all) {
  const json chosen = plan({});
  EXPECT_TRUE(chosen["split_is_auto"]);
  EXPECT_GT(chosen["split"], 1);
  EXPECT_EQ(chosen["split"], chosen["considered_splits"][0]["split"]);
  EXPECT_DOUBLE_EQ(chosen["step_seconds"], chosen["considered_splits"][0]["step_seconds"]);
  std::vector<std::string> kinds;
  for (const json& way : chosen["considered_splits"]) {
    kinds.push_back(way["parallelism"]);
    EXPECT_EQ(way["taken"], way["split"] == chosen["split"]);
    EXPECT_TRUE(way["with_scratch"]);
    const json forced = plan({"--split", std::to_string(way["split"].get<int>())});
    EXPECT_FALSE(forced["split_is_auto"]);
    EXPECT_GE(forced["step_seconds"], chosen["step_seconds"].get<double>() * (1 - 1e-9));
  }
  EXPECT_THAT(kinds, ::testing::UnorderedElementsAre("data", "hybrid", "model"));
  EXPECT_EQ(plan({"--groups", "2"})["split"], 2);
  const std::vector<std::string> cpu = {"--devices", "cpu:0,cpu:1,cpu:2,cpu:3"};
  std::vector<std::string> shared = cpu;
  shared.insert(shared.end(), {"--set", "exchange.topology=shared"});
  EXPECT_EQ(plan(shared)["considered_splits"].size(), plan(cpu)["considered_splits"].size());
  EXPECT_EQ(plan({"--split", "auto", "--devices", "fake:1"})["split"], 1);
  // What cannot be divided is not.
  EXPECT_EQ(plan({"--set", "reproducible=true", "--set", "precision=bf16", "--set", "exchange.content=auto"})["split"],
            1);
  const CommandResult table = place_.hadal({"plan", "many.yaml"});
  EXPECT_THAT(table.out, HasSubstr("split: auto is "));
  EXPECT_THAT(table.out, HasSubstr("data parallel"));
  EXPECT_THAT(table.out, HasSubstr("hybrid"));
  EXPECT_THAT(table.out, HasSubstr("one model"));
  EXPECT_THAT(table.out, HasSubstr("buys "));
}

TEST_F(AutoSplit, is_what_a_run_takes_and_keeps) {
  const int expected = plan({})["split"];
  const CommandResult first = train({"--max-steps", "4"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("split: auto is " + std::to_string(expected)));
  const json told = place_.summary("run")["parallel"];
  EXPECT_EQ(told["split"], expected);
  EXPECT_EQ(told["groups"], 4 / expected);
  EXPECT_EQ(told["split_is_auto"], true);
  EXPECT_THAT(place_.read("run/job.yaml"), HasSubstr("split: auto"));
  // On other links another one would be chosen.
  place_.write("slow.yaml", machine(1e9, true));
  ASSERT_NE(plan({})["split"], expected);
  const CommandResult second = train({"--resume", "--max-steps", "8"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(place_.summary("run")["parallel"]["split"], expected);
  // With other devices it is chosen anew; a number is obeyed.
  ASSERT_EQ(train({"--resume", "--devices", "fake:0,fake:1", "--split", "1", "--max-steps", "10"}).exit_code, 0);
  EXPECT_EQ(place_.summary("run")["parallel"]["split"], 1);
  ASSERT_EQ(train({"--resume"}).exit_code, 0);
  const json last = place_.summary("run");
  EXPECT_EQ(last["status"], "done");
  EXPECT_EQ(last["steps"], 12);
  const CommandResult evaluated = place_.hadal({"eval", "run", "--data", "train", "--json"});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
}

TEST_F(AutoSplit, goes_where_the_memory_is) {
  place_.write("slow.yaml", machine(1e9, true));
  const auto peak = [&](int split) {
    double most = 0;
    const json planned = plan({"--split", std::to_string(split)});
    for (const json& device : planned["devices"]) most = std::max(most, device["peak_bytes"].get<double>());
    return most;
  };
  const double one = peak(1), four = peak(4);
  ASSERT_LT(four, 0.8 * one);
  place_.write("slow.yaml", machine((one + four) / 2, true));
  EXPECT_GT(plan({})["split"], 1);
  const CommandResult refused = train({"--split", "1"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(testing::lines(refused.err).size(), 1u) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("parallel.machine: fake:0 has "));
  EXPECT_THAT(refused.err, HasSubstr("b weights and state "));
  EXPECT_THAT(refused.err, HasSubstr("it would fit with parallel.split: "));
  EXPECT_FALSE(place_.has("run/metrics.jsonl"));
  EXPECT_EQ(train({"--max-steps", "2"}).exit_code, 0);
  place_.write("slow.yaml", machine(four / 4, true));
  EXPECT_THAT(train({}).err, HasSubstr("a smaller data.batch or narrower layers would help"));
  EXPECT_THAT(place_.hadal({"plan", "many.yaml"}).out, HasSubstr("does not fit: fake:0 has "));
}

// Many activations, of which half can be computed again.
constexpr const char* kDeep = R"(name: deep
network:
  input: [2, 16, 16]
  layers: [conv: {out: 16, kernel: 3, pad: 1}, lrn: {size: 5}, conv: {out: 16, kernel: 3, pad: 1}, lrn: {size: 5},
           conv: {out: 16, kernel: 3, pad: 1}, lrn: {size: 5}, fully_connected: {out: 16}]
data: {train: {synthetic: {samples: 64, classes: 16}}, batch: 32}
solver: {epochs: 1, rule: {sgd: {rate: 0.01}}}
parallel: {devices: [fake:0, fake:1], split: auto, machine: slow.yaml}
)";

// What `--split N` trains is not passed over, and each division is judged by the memory that its own plan says.
TEST_F(AutoSplit, computes_again_what_does_not_fit_otherwise) {
  place_.write("many.yaml", kDeep);
  const auto peak = [](const json& planned) {
    double most = 0;
    for (const json& device : planned["devices"]) most = std::max(most, device["peak_bytes"].get<double>());
    return most;
  };
  const double kept = peak(plan({"--split", "1"}));
  for (const double memory : {1e9, 0.85 * kept}) {
    place_.write("slow.yaml", machine(memory, true));
    const json chosen = plan({});
    ASSERT_EQ(chosen["considered_splits"].size(), 2u);
    for (const json& way : chosen["considered_splits"]) {
      const json forced = plan({"--split", std::to_string(way["split"].get<int>())});
      EXPECT_EQ(way["fits"], peak(forced) <= memory) << way;
      if (way["fits"] && way["kept_whole"].empty()) {
        EXPECT_EQ(way["peak_bytes"], peak(forced)) << way;
        EXPECT_DOUBLE_EQ(way["step_seconds"], forced["step_seconds"]);
      }
    }
    EXPECT_EQ(chosen["split"], 1);
    EXPECT_TRUE(chosen["considered_splits"][0]["fits"]);
    EXPECT_EQ(chosen["memory"]["recomputed"].empty(), memory == 1e9);
    EXPECT_EQ(train({"--max-steps", "1", "--split", "1"}).exit_code, 0);
    EXPECT_EQ(train({"--max-steps", "1"}).exit_code, 0);
  }
  const CommandResult never = train({"--split", "1", "--set", "memory.recompute=never"});
  EXPECT_EQ(never.exit_code, 2);
  EXPECT_THAT(never.err, HasSubstr("it would fit with memory.recompute: auto ("));
}

}  // namespace
}  // namespace hadal
