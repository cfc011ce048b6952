// One model on any devices, and what scripts read: summary.json, plan --json, train --json, --trace.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using testing::SmallWorkplace;

// Every kind of layer that exchanges or joins.
constexpr const char* kBranches = R"(name: branches
network:
  input: [1, 12, 12]
  layers:
    - conv: {name: fine, from: input, out: 4, kernel: 3, pad: 1}
    - conv: {name: coarse, from: input, out: 4, kernel: 5, pad: 2}
    - concat: {name: both, from: [fine, coarse]}
    - relu
    - max_pool: {name: pooled, kernel: 2}
    - conv: {out: 8, kernel: 3, pad: 1}
    - relu: {name: refined}
    - add: {from: [pooled, refined]}
    - average_pool: {kernel: 2}
    - fully_connected: {out: 96}
    - relu
    - dropout: {p: 0.3}
    - fully_connected: {out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 24
solver:
  epochs: 2
  rule: {sgd: {rate: {step: {base: 0.05, every_epochs: 1, factor: 0.5}}, momentum: 0.9, weight_decay: 0.0005}}
reproducible: true
)";

std::string device_list(const std::string& kind, int count) {
  std::string list;
  for (int d = 0; d < count; ++d) {
    if (d > 0) list += ',';
    list += kind;
    list += ':';
    list += std::to_string(d);
  }
  return list;
}

void expect_fields(const json& object, const std::vector<std::string>& fields, const std::string& name) {
  for (const std::string& field : fields) EXPECT_TRUE(object.contains(field)) << name << " has no " << field;
}

void expect_numbers(const json& object, const std::vector<std::string>& fields, const std::string& name) {
  for (const std::string& field : fields) {
    EXPECT_TRUE(object.contains(field) && object.at(field).is_number() && object.at(field) >= 0)
        << name << "." << field;
  }
}

TEST(Devices, one_sha256_on_any_number_and_kind) {
  SmallWorkplace place;
  place.write("job.yaml", kBranches);
  std::set<std::string> models, tests;
  for (const std::string kind : {"cpu", "fake"}) {
    for (const int count : {1, 2, 3, 4, 6}) {
      for (const char* clip : {"none", "0.5"}) {
        if (std::string(clip) != "none" && count != 3 && count != 1) continue;
        const std::string out = kind + std::to_string(count) + clip;
        const CommandResult result =
            place.hadal({"train", "job.yaml", "--out", out, "--devices", device_list(kind, count), "--set",
                         std::string("solver.clip_norm=") + clip});
        ASSERT_EQ(result.exit_code, 0) << result.err;
        models.insert(clip + std::string(" ").append(place.sha256(out)));
        tests.insert(clip + std::string(" ").append(place.summary(out)["test"].dump()));
      }
    }
  }
  EXPECT_THAT(models, ::testing::SizeIs(2));  // with clipping and without
  EXPECT_THAT(tests, ::testing::SizeIs(2));
}

// Whatever is left to the next step is done before parameters are looked at: in tests, checkpoints and the model.
TEST(Devices, one_sha256_however_much_is_left_to_the_next_step) {
  SmallWorkplace place;
  place.write("job.yaml", kBranches);
  std::set<std::string> models, tests, copied;
  for (const char* layers : {"0", "1", "2", "100", "auto"}) {
    for (const char* topology : {"direct", "line"}) {
      const std::string out = std::string(topology) + layers;
      const std::vector<std::string> command{"train",     "job.yaml",
                                             "--out",     out,
                                             "--devices", "fake:0,fake:1,fake:2",
                                             "--set",     std::string("exchange.topology=") + topology,
                                             "--set",     std::string("exchange.deferred_layers=") + layers};
      std::vector<std::string> part = command;
      part.insert(part.end(), {"--max-steps", "7"});
      ASSERT_EQ(place.hadal(part).exit_code, 0);
      std::vector<std::string> rest = command;
      rest.emplace_back("--resume");
      const CommandResult result = place.hadal(rest);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      models.insert(place.sha256(out));
      const json summary = place.summary(out);
      tests.insert(summary["test"].dump());
      copied.insert(std::string(topology) + " " + summary["exchange"]["copied_bytes"].dump());
    }
  }
  EXPECT_THAT(models, ::testing::SizeIs(1));
  EXPECT_THAT(tests, ::testing::SizeIs(1));
  EXPECT_THAT(copied, ::testing::SizeIs(2));
}

// Where the gradient that a step left is infinite, that step is in no checkpoint.
TEST(Devices, what_diverges_in_what_was_left_is_not_kept) {
  SmallWorkplace place;
  place.write("huge.csv", "a,b,label\n1e36,1e36,0\n-1e36,1e36,1\n1e36,-1e36,2\n");
  place.write("job.yaml", R"(name: huge
network:
  input: [2]
  layers:
    - fully_connected: {out: 8, init: {weight: {gaussian: 1e-36}}}
    - fully_connected: {out: 3, init: {weight: {gaussian: 100000}}}
data: {train: {csv: {files: huge.csv}}, test: {csv: {files: huge.csv}}, batch: 3}
solver: {epochs: 3, rule: {sgd: {rate: 0.05}}}
checkpoint: {every_steps: 5}
)");
  for (const char* layers : {"0", "1", "2"}) {
    const CommandResult result = place.hadal(
        {"train", "job.yaml", "--out", layers, "--devices", "fake:0,fake:1,fake:2", "--trace", "t.json", "--set",
         std::string("exchange.deferred_layers=") + layers, "--set", "exchange.content=gradients"});
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_THAT(result.err, ::testing::HasSubstr("training diverged at step 0: "));
    EXPECT_EQ(place.hadal({"train", "job.yaml", "--out", layers, "--resume", "--max-steps", "1"}).exit_code, 3)
        << "it had something to resume";
    EXPECT_GT(place.read("t.json").size(), 500u);
  }
}

TEST(Devices, wait_for_the_exchange_and_say_so) {
  SmallWorkplace place;
  place.write("slow.yaml",
              "name: slow\ndevices: [{name: a}, {name: b}]\nswitches: [s]\nlinks:\n"
              "  - {between: [a, s], bytes_per_second: 1e6}\n  - {between: [b, s], bytes_per_second: 1e6}\n");
  for (const char* layers : {"0", "3"}) {
    const CommandResult result =
        place.hadal({"train", "job.yaml", "--devices", "fake:0,fake:1", "--set", "reproducible=false", "--set",
                     "exchange.content=gradients", "--set", "parallel.machine=slow.yaml", "--set",
                     std::string("exchange.deferred_layers=") + layers});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json summary = place.summary("runs/small");
    const auto trained = summary["train_seconds"].get<double>();
    for (const json& device : summary["devices"]) {
      EXPECT_GT(device["exchange_wait_seconds"], trained / 2) << layers;
      EXPECT_LT(device["exchange_wait_seconds"], trained * 1.05) << layers;
    }
    // What is left for the end is timed as training too: each device sends and gets half a model a step.
    const auto sent = summary["exchange"]["copied_bytes"].get<double>();
    EXPECT_GT(trained, 0.8 * sent / 2 / 1e6);
  }
}

// Without `reproducible`: at the first step where the loss has fallen to 0.8 of its start, it is the same within 1e-5.
TEST(Devices, any_number_gives_nearly_one_loss_without_reproducible) {
  SmallWorkplace place;
  const auto losses = [&](const std::string& kind, int count) {
    const CommandResult result = place.hadal(
        {"train", "job.yaml", "--devices", device_list(kind, count), "--threads", "1", "--set", "reproducible=false"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<double> values;
    for (const json& line : testing::json_lines(place.read("runs/small/metrics.jsonl"))) values.push_back(line["loss"]);
    return values;
  };
  const std::vector<double> one = losses("cpu", 1);
  ASSERT_EQ(one.size(), static_cast<std::size_t>(testing::kSmallJobSteps));
  const auto fallen = std::find_if(one.begin(), one.end(), [&](double loss) { return loss <= 0.8 * one[0]; });
  ASSERT_NE(fallen, one.end());
  const auto step = static_cast<std::size_t>(fallen - one.begin());
  for (const std::string kind : {"cpu", "fake"}) {
    for (int count = kind == "cpu" ? 2 : 1; count <= 6; ++count) {
      EXPECT_NEAR(losses(kind, count)[step], *fallen, 1e-5 * *fallen) << count << " " << kind;
    }
  }
}

TEST(Devices, another_seed_is_another_model) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "a", "--max-steps", "3"}).exit_code, 0);
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "b", "--max-steps", "3", "--set", "seed=4"}).exit_code, 0);
  EXPECT_NE(place.sha256("a"), place.sha256("b"));
}

TEST(Summary, has_the_fields_of_the_contract) {
  SmallWorkplace place;
  for (const char* devices : {"cpu:0", "cpu:0,cpu:1", "fake:0,fake:1,fake:2"}) {
    SCOPED_TRACE(devices);
    ASSERT_EQ(place.hadal({"train", "job.yaml", "--devices", devices}).exit_code, 0);
    const json summary = place.summary("runs/small");
    EXPECT_EQ(summary["job"], "small");
    EXPECT_EQ(summary["status"], "done");
    EXPECT_EQ(summary["steps"], testing::kSmallJobSteps);
    EXPECT_EQ(summary["samples"], 4 * 115);
    expect_numbers(summary, {"train_seconds", "samples_per_second"}, "summary");
    expect_numbers(summary["test"], {"loss", "accuracy", "top5_accuracy"}, "test");
    EXPECT_EQ(summary["model_sha256"].get<std::string>().size(), 64u);
    std::string names;
    for (const json& device : summary["devices"]) {
      if (!names.empty()) names += ',';
      names += device["name"].get<std::string>();
      expect_numbers(device,
                     {"peak_bytes", "input_bytes_per_step", "compute_seconds", "load_seconds", "exchange_wait_seconds",
                      "input_wait_seconds"},
                     "device");
      EXPECT_GT(device["peak_bytes"], 0);
      EXPECT_GT(device["input_bytes_per_step"], 0);
      EXPECT_GT(device["compute_seconds"], 0.0);
    }
    EXPECT_EQ(names, devices);
    const json& exchange = summary["exchange"];
    expect_numbers(exchange, {"bytes_per_step", "remote_read_bytes_per_step", "state_bytes_per_step"}, "exchange");
    std::int64_t sum = 0;
    for (const json& link : exchange["links"]) {
      expect_fields(link, {"from", "to", "bytes_per_step"}, "link");
      sum += link["bytes_per_step"].get<std::int64_t>();
    }
    EXPECT_EQ(exchange["bytes_per_step"], sum);
    const bool fake = std::string(devices).starts_with("fake"), several = summary["devices"].size() > 1;
    EXPECT_EQ(sum > 0, fake);
    EXPECT_EQ(exchange["remote_read_bytes_per_step"] > 0, several && !fake);
    ASSERT_FALSE(summary["input"]["stages"].empty());
    for (const json& stage : summary["input"]["stages"]) {
      expect_fields(stage, {"name"}, "stage");
      expect_numbers(stage, {"busy_seconds", "wait_seconds", "queue_mean"}, "stage");
    }
    for (const char* name : {"job.yaml", "plan.json", "metrics.jsonl", "model.safetensors", "checkpoints"}) {
      EXPECT_TRUE(place.has(std::string("runs/small/") + name)) << name;
    }
    expect_fields(json::parse(place.read("runs/small/plan.json")), {"devices", "layers", "steps"}, "plan.json");
    for (const json& line : testing::json_lines(place.read("runs/small/metrics.jsonl"))) {
      expect_numbers(line, {"step", "epoch", "loss", "rate", "samples_per_second"}, "metrics");
    }
  }
}

TEST(Summary, does_not_invent_what_does_not_apply) {
  SmallWorkplace place;
  std::string job = testing::kSmallJob;
  const std::size_t test = job.find("  test:");
  place.write("job.yaml", job.erase(test, job.find('\n', test) + 1 - test));
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "2"}).exit_code, 0);
  EXPECT_FALSE(place.summary("runs/small").contains("test"));
}

TEST(Summary, the_jobs_text_trains_the_same_model_again) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "a", "--set", "solver.epochs=1"}).exit_code, 0);
  const CommandResult again = place.hadal({"train", "a/job.yaml", "--out", "b"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(place.sha256("b"), place.sha256("a"));
}

TEST(Plan, has_the_fields_of_the_contract) {
  SmallWorkplace place;
  for (const char* devices : {"cpu:0", "cpu:0,cpu:1", "fake:0,fake:1,fake:2"}) {
    SCOPED_TRACE(devices);
    const CommandResult result = place.hadal({"plan", "job.yaml", "--json", "--devices", devices});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(testing::lines(result.out).size(), 1u) << "JSON lines only";
    const json plan = result.json();
    expect_numbers(plan, {"transfer_bytes_per_step", "exchange_bytes_per_step", "step_seconds"}, "plan");
    EXPECT_THAT(plan["bound_by"], ::testing::AnyOf("compute", "exchange", "input"));
    for (const json& device : plan["devices"]) {
      expect_fields(device, {"name"}, "device");
      expect_numbers(
          device,
          {"peak_bytes", "parameter_bytes", "gradient_bytes", "state_bytes", "activation_bytes", "scratch_bytes"},
          "device");
    }
    EXPECT_EQ(plan["layers"].size(), 7u);
    for (const json& layer : plan["layers"]) {
      expect_fields(layer, {"name", "type", "shape", "split", "exchange"}, "layer");
      expect_numbers(layer, {"parameters", "flops"}, "layer");
    }
    ASSERT_TRUE(plan["links"].is_array());
    // What was planned is what a run counts.
    ASSERT_EQ(place.hadal({"train", "job.yaml", "--max-steps", "6", "--devices", devices}).exit_code, 0);
    const json summary = place.summary("runs/small");
    EXPECT_EQ(summary["exchange"]["bytes_per_step"], plan["exchange_bytes_per_step"]);
    for (std::size_t d = 0; d < plan["devices"].size(); ++d) {
      EXPECT_LE(plan["devices"][d]["peak_bytes"], summary["devices"][d]["peak_bytes"]);
    }
  }
}

TEST(Output, json_is_json_lines_only) {
  SmallWorkplace place;
  const CommandResult result = place.hadal({"train", "job.yaml", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> lines = testing::json_lines(result.out);  // throws where one is not
  std::map<std::string, int> events;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) ++events[lines[i].at("event")];
  EXPECT_GE(events["progress"], 1);
  EXPECT_EQ(events["evaluation"], 4);
  EXPECT_EQ(lines.back(), place.summary("runs/small"));
}

TEST(Output, a_pipe_gets_plain_lines) {
  SmallWorkplace place;
  const CommandResult result = place.hadal({"train", "job.yaml"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find('\r'), std::string::npos);
  EXPECT_EQ(result.out.find('\033'), std::string::npos);
  EXPECT_THAT(result.out, ::testing::HasSubstr("step 40/40"));
  EXPECT_THAT(result.out, ::testing::HasSubstr(place.sha256("runs/small")));
}

TEST(Output, every_verb_has_help_with_an_example) {
  SmallWorkplace place;
  for (const char* verb : {"train", "eval", "predict", "plan", "bench", "doctor"}) {
    const CommandResult result = place.hadal({verb, "--help"});
    EXPECT_EQ(result.exit_code, 0) << verb;
    EXPECT_THAT(result.out, ::testing::HasSubstr("\nExample"));
    EXPECT_THAT(result.out, ::testing::HasSubstr(std::string(": hadal ") + verb));
  }
}

TEST(Trace, has_the_work_of_each_device) {
  SmallWorkplace place;
  for (const std::string devices : {"cpu:0", "cpu:0,cpu:1", "fake:0,fake:1,fake:2"}) {
    SCOPED_TRACE(devices);
    ASSERT_EQ(
        place.hadal({"train", "job.yaml", "--trace", "trace.json", "--max-steps", "3", "--devices", devices}).exit_code,
        0);
    const json trace = json::parse(place.read("trace.json"));
    std::map<int, std::string> names;
    std::map<int, int> work;
    std::set<std::string> layers;
    for (const json& event : trace.at("traceEvents")) {
      if (event.at("ph") == "M" && event.at("name") == "process_name") names[event["pid"]] = event["args"]["name"];
      if (event.at("ph") != "X") continue;
      EXPECT_GE(event.at("ts"), 0.0);
      EXPECT_GE(event.at("dur"), 0.0);
      if (event.at("cat") == "work") ++work[event.at("pid")];
      layers.insert(event.at("name").get<std::string>());
    }
    const auto count = static_cast<std::size_t>(1 + std::count(devices.begin(), devices.end(), ','));
    EXPECT_EQ(names.size(), count);
    EXPECT_EQ(work.size(), count);
    for (const auto& [device, events] : work) EXPECT_GE(events, 3 * 7) << names[device];
    EXPECT_TRUE(layers.contains("hidden.forward"));
  }
}

}  // namespace
}  // namespace hadal
