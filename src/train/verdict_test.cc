// What limits a run is found, whichever part is slow.

#include "train/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "testing/images.h"
#include "testing/temporary_folder.h"
#include "train/trainer.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

DeviceUse use(double compute, double wait) {
  DeviceUse use;
  use.compute_seconds = compute;
  use.wait_seconds = wait;
  return use;
}

TEST(Judge, shares_are_of_waits_for_batches_and_of_the_device_that_computes_longest) {
  const Verdict verdict =
      judge({.wait_seconds = 1, .step_seconds = 9, .devices = {use(2, 6), use(5, 3)}, .stages = {}});
  EXPECT_DOUBLE_EQ(verdict.input_share, 0.1);
  EXPECT_DOUBLE_EQ(verdict.exchange_share, 0.3);
  EXPECT_DOUBLE_EQ(verdict.compute_share, 0.6);
  EXPECT_EQ(verdict.bound_by, "input");
}

TEST(Judge, is_exchange_where_it_takes_more_than_computing) {
  EXPECT_EQ(judge({.step_seconds = 10, .devices = {use(4, 6)}, .stages = {}}).bound_by, "exchange");
  EXPECT_EQ(judge({.step_seconds = 10, .devices = {use(6, 4)}, .stages = {}}).bound_by, "compute");
  EXPECT_EQ(judge({.wait_seconds = 0.5, .step_seconds = 9.5, .devices = {use(9, 0)}, .stages = {}}).bound_by,
            "compute");
}

// Waits for batches beside it are said, and are not what limits.
TEST(Judge, is_exchange_where_that_is_most_though_batches_are_waited_for) {
  const auto bound_by = [](double input, double compute, double exchange) {
    return judge({.wait_seconds = input,
                  .step_seconds = compute + exchange,
                  .devices = {use(compute, exchange)},
                  .stages = {}})
        .bound_by;
  };
  EXPECT_EQ(bound_by(1.2, 2.8, 6), "exchange");
  EXPECT_EQ(bound_by(4.5, 1.5, 4), "input");
  EXPECT_EQ(bound_by(1.2, 6, 2.8), "input");  // computing faster would only wait longer
}

// What judge() says of a job on two devices, of which the second is slow.
Verdict judge_two(Measured measured, const std::string& more = "", int split = 1) {
  const JobSpec job = parse_job(
      "name: two\nnetwork: {input: [4], layers: [fully_connected: {name: all, out: 2}]}\n"
      "data: {train: {image_folder: {path: a}}, batch: 2}\nsolver: {rule: {sgd: {rate: 0.1}}}\n" +
          more,
      "job.yaml");
  Plan plan;
  plan.devices = {{"cpu:0", 0}, {"cpu:1", 0}};
  plan.device_rows = {{0, 1, {}}, {1, 1, {}}};
  plan.split = split;
  measured.cores = 8;
  measured.device_cores = 2;
  return judge(measured, job, build_network(job.network), plan);
}

TEST(Judge, a_device_is_slow_only_after_enough_steps) {
  Measured measured{.steps = 3, .step_seconds = 10, .devices = {use(2, 8), use(8, 2)}, .stages = {}};
  EXPECT_EQ(judge_two(measured).stage, "all");
  measured.steps = 100;
  const Verdict slow = judge_two(measured);
  EXPECT_EQ(slow.stage, "cpu:1");
  EXPECT_DOUBLE_EQ(slow.at_most, 10 / (10 - 6.0));
}

TEST(Judge, says_how_much_a_change_can_help) {
  const Measured measured{.steps = 3, .step_seconds = 10, .devices = {use(8, 2), use(8, 2)}, .stages = {}};
  const Verdict cores = judge_two(measured);
  EXPECT_DOUBLE_EQ(cores.at_most, 1 / (1 - 0.8 * 0.75));
  EXPECT_THAT(describe(cores),
              HasSubstr("what would help: more cores: the devices have 2 of 8 (at most 2.5 times as fast)"));
  EXPECT_EQ(to_json(cores)["change_at_most"], 2.5);
  EXPECT_FALSE(to_json(judge_two(measured, "reproducible: true")).contains("change_at_most"));
  const Verdict input = judge_two({.wait_seconds = 6, .step_seconds = 4, .devices = {use(4, 0)}, .stages = {{}}});
  EXPECT_DOUBLE_EQ(input.at_most, 2.5);
}

TEST(Judge, does_not_advise_what_the_job_would_refuse) {
  Measured measured{.steps = 3, .step_seconds = 10, .devices = {use(8, 2), use(8, 2)}, .stages = {}};
  EXPECT_THAT(judge_two(measured, "reproducible: true").change, HasSubstr("bf16"));
  EXPECT_EQ(judge_two(measured, "reproducible: true", 2).change, "more devices");
}

TEST(Judge, the_busiest_stage_is_the_one_whose_threads_rest_least) {
  const auto stage_of = [](double read, double decode, double augment) {
    Measured measured{.wait_seconds = 6, .step_seconds = 4, .devices = {use(4, 0)}, .stages = {}};
    measured.stages = {{.name = "read", .busy_seconds = read, .wait_seconds = 10 - read},
                       // Of four threads that were, and one that is left.
                       {.name = "decode", .busy_seconds = 4 * decode, .starved_seconds = 4 * (10 - decode)},
                       {.name = "augment", .busy_seconds = augment, .starved_seconds = 10 - augment}};
    const Verdict verdict = judge_two(measured);
    return verdict.stage + ": " + verdict.change;
  };
  EXPECT_THAT(stage_of(9, 3, 1), HasSubstr("read: pack the files into tar shards"));
  EXPECT_THAT(stage_of(5, 9, 8), HasSubstr("decode: store the images smaller"));
  EXPECT_THAT(stage_of(5, 8, 9), HasSubstr("augment: more cores"));
}

// --- Runs in which one part after the other is slow ---

nlohmann::ordered_json run(const std::string& job, const TemporaryFolder& folder, std::int64_t steps = 40) {
  Trainer trainer(parse_job(job, "job.yaml"));
  TrainOptions options;
  options.out = folder.path("run");
  options.max_steps = steps;
  return trainer.run(options);
}

// Two devices whose links carry 20 MB/s.
constexpr const char* kSlowLinks = R"(name: slow links
devices: [{name: a}, {name: b}]
switches: [s]
links:
  - {between: [a, s], bytes_per_second: 2e7}
  - {between: [b, s], bytes_per_second: 2e7}
)";

std::string job_with(const std::string& input, const std::string& layers, const std::string& data,
                     const std::string& rest = "") {
  return "name: slow\nnetwork:\n  input: " + input + "\n  layers: [" + layers + "]\ndata: " + data +
         "\nsolver: {epochs: 1000, rule: {sgd: {rate: 0.001}}}\ncheckpoint: {every_steps: 0}\n" + rest;
}

TEST(Runs, are_compute_bound_where_kernels_take_long) {
  const TemporaryFolder folder;
  const auto summary =
      run(job_with("[400]", "fully_connected: {out: 800}, relu, fully_connected: {name: big, out: 2000}",
                   "{train: {synthetic: {samples: 4096, classes: 10}}, batch: 256}"),
          folder);
  EXPECT_EQ(summary["verdict"]["bound_by"], "compute") << summary["verdict"];
  EXPECT_EQ(summary["verdict"]["stage"], "big");
  EXPECT_GT(summary["verdict"]["compute_share"], 0.5);
}

TEST(Runs, are_exchange_bound_where_links_are_slow) {
  const TemporaryFolder folder;
  const std::string machine = folder.write("slow.yaml", kSlowLinks);
  const auto summary = run(job_with("[100]", "fully_connected: {out: 500}, relu, fully_connected: {out: 100}",
                                    "{train: {synthetic: {samples: 512, classes: 10}}, batch: 16}",
                                    "parallel: {devices: [fake:0, fake:1], machine: " + machine +
                                        "}\nexchange: {topology: direct, content: gradients}\n"),
                           folder, 15);
  EXPECT_EQ(summary["verdict"]["bound_by"], "exchange") << summary["verdict"];
  EXPECT_THAT(summary["verdict"]["stage"].get<std::string>(), HasSubstr("the link from fake:"));
}

TEST(Runs, are_input_bound_where_images_are_large) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path("images/a"));
  for (int i = 0; i < 8; ++i) {
    folder.write("images/a/" + std::to_string(i) + ".jpg", testing::jpeg_bytes(testing::test_image(1200, 900, 3, i)));
  }
  const auto summary = run(
      job_with("[3, 8, 8]", "fully_connected: {out: 2}",
               "{train: {image_folder: {path: " + folder.path("images") + ", resize: none, crop: random}}, batch: 8}"),
      folder, 15);
  EXPECT_EQ(summary["verdict"]["bound_by"], "input") << summary["verdict"];
  EXPECT_EQ(summary["verdict"]["stage"], "decode");
  EXPECT_GT(summary["verdict"]["input_share"], 0.5);
  EXPECT_THAT(summary["verdict"]["change"].get<std::string>(), HasSubstr("smaller"));
  // Each line of the metrics has it.
  std::ifstream metrics(folder.path("run/metrics.jsonl"));
  std::string line, last;
  while (std::getline(metrics, line)) last = line;
  EXPECT_EQ(nlohmann::json::parse(last)["verdict"]["bound_by"], "input") << last;
}

TEST(Runs, are_input_bound_where_files_are_slow_to_read) {
  const TemporaryFolder folder;
  std::ofstream archive(folder.path("a.tar"), std::ios::binary);
  for (int i = 0; i < 24; ++i) {  // of each sample 8 MB that nothing looks at
    const std::string key = std::to_string(i);
    archive << testing::tar_entry(key + ".jpg", testing::jpeg_bytes(testing::test_image(8, 8, 3, i)))
            << testing::tar_entry(key + ".cls", "1") << testing::tar_header(key + ".bin", 8 << 20);
    archive.seekp(8 << 20, std::ios::cur);
  }
  archive << testing::tar_end() << std::flush;
  const auto summary = run(job_with("[3, 8, 8]", "fully_connected: {out: 2}",
                                    "{train: {tar: {files: " + folder.path("a.tar") + "}}, batch: 8, buffer: 32}"),
                           folder, 15);
  EXPECT_EQ(summary["verdict"]["bound_by"], "input") << summary["verdict"];
  EXPECT_EQ(summary["verdict"]["stage"], "read") << summary["input"];
  EXPECT_THAT(summary["verdict"]["change"].get<std::string>(), HasSubstr("disk"));
  EXPECT_GT(summary["verdict"]["change_at_most"], 1.1);
}

TEST(Runs, tell_their_verdict_when_they_are_asked) {
  const TemporaryFolder folder;
  std::atomic<bool> tell{true};
  std::vector<std::string> notices;
  Trainer trainer(parse_job(
      job_with("[4]", "fully_connected: {out: 2}", "{train: {synthetic: {samples: 64, classes: 2}}, batch: 8}"),
      "job.yaml"));
  TrainOptions options;
  options.out = folder.path("run");
  options.max_steps = 3;
  options.tell = &tell;
  options.notice = [&](const std::string& text) { notices.push_back(text); };
  trainer.run(options);
  EXPECT_FALSE(tell);
  EXPECT_THAT(notices, ::testing::Contains(AllOf(HasSubstr("step 1: "), HasSubstr("-bound: devices"))));
}

}  // namespace
}  // namespace hadal
