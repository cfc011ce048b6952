// memory.limit and memory.recompute, as a user meets them.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SmallWorkplace;

// Values that are cheap to compute again, values that are not, and a layer of many parameters.
constexpr const char* kFullJob = R"(name: full
seed: 3
network:
  input: [1, 12, 12]
  layers:
    - conv: {name: stem, out: 32, kernel: 3, pad: 1}
    - relu
    - lrn: {size: 5, alpha: 0.1}
    - max_pool: {kernel: 2}
    - conv: {name: second, out: 64, kernel: 3, pad: 1}
    - relu
    - lrn: {size: 5, alpha: 0.1}
    - max_pool: {kernel: 2}
    - fully_connected: {name: hidden, out: 256}
    - relu
    - dropout: {p: 0.2}
    - fully_connected: {name: logits, out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 24
solver:
  epochs: 2
  rule: {sgd: {rate: 0.02, momentum: 0.9}}
)";

class MemoryLimit : public ::testing::Test {
 protected:
  MemoryLimit() { place_.write("job.yaml", kFullJob); }

  CommandResult run(const std::string& verb, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {verb, "job.yaml", "--threads", "1"});
    if (verb == "plan") arguments.erase(arguments.begin() + 2, arguments.begin() + 4);
    return place_.hadal(arguments);
  }
  json plan(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const CommandResult result = run("plan", arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? result.json() : json{};
  }
  static std::size_t peak(const json& planned_or_summary) {
    std::size_t most = 0;
    for (const json& device : planned_or_summary["devices"])
      most = std::max(most, device["peak_bytes"].get<std::size_t>());
    return most;
  }
  static std::string limit(std::size_t bytes) { return "memory.limit=" + std::to_string(bytes) + " B"; }

  SmallWorkplace place_;
};

TEST_F(MemoryLimit, is_kept_to_by_computing_again_with_the_same_result) {
  const json all_kept = plan({});
  EXPECT_EQ(all_kept["memory"]["limit_bytes"], 0);
  EXPECT_TRUE(all_kept["memory"]["recomputed"].empty());
  EXPECT_LE(all_kept["devices"][0]["live_bytes"], all_kept["devices"][0]["peak_bytes"]);
  const std::size_t needed = peak(all_kept), most = needed - needed / 20;
  const json fitted = plan({"--set", limit(most)});
  EXPECT_LE(peak(fitted), most);
  EXPECT_EQ(fitted["memory"]["limit_bytes"], most);
  EXPECT_FALSE(fitted["memory"]["recomputed"].empty());
  EXPECT_EQ(fitted["memory"]["kept_peak_bytes"], needed);
  EXPECT_LT(fitted["memory"]["kept_step_seconds"], fitted["step_seconds"]);
  const CommandResult table = run("plan", {"--set", limit(most), "--memory"});
  EXPECT_THAT(table.out, HasSubstr("backward computes again"));
  EXPECT_THAT(table.out, HasSubstr("is fullest in"));
  EXPECT_THAT(table.out, HasSubstr(fitted["memory"]["recomputed"][0].get<std::string>()));

  ASSERT_EQ(run("train", {"--out", "kept"}).exit_code, 0);
  ASSERT_EQ(run("train", {"--out", "fitted", "--set", limit(most)}).exit_code, 0);
  ASSERT_EQ(run("train", {"--out", "always", "--set", "memory.recompute=always"}).exit_code, 0);
  EXPECT_LE(peak(place_.summary("fitted")), most);
  for (const char* other : {"fitted", "always"})
    EXPECT_EQ(place_.summary(other)["model_sha256"], place_.summary("kept")["model_sha256"]) << other;
}

TEST_F(MemoryLimit, that_cannot_be_kept_to_is_refused_with_what_would_help) {
  const std::size_t needed = peak(plan({}));
  const auto refused = [&](const std::vector<std::string>& arguments) {
    const CommandResult result = run("train", arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
    EXPECT_THAT(result.err, HasSubstr("--set memory.limit"));
    EXPECT_THAT(result.err, HasSubstr("cpu:0 needs"));
    return result.err;
  };
  EXPECT_THAT(refused({"--set", limit(needed - 1), "--set", "memory.recompute=never"}),
              HasSubstr("memory.recompute: auto ("));
  const std::string message = refused({"--set", limit(needed * 7 / 10)});
  EXPECT_THAT(message, HasSubstr("largest: hidden"));
  EXPECT_THAT(message, HasSubstr("computed again"));
  EXPECT_THAT(message, HasSubstr("it would fit with"));
  EXPECT_THAT(refused({"--set", "memory.limit=10 kB"}), HasSubstr("neither"));
}

// Each of the changes that a message names, as arguments: "it would fit with KEY: VALUE and two devices (1.2 MB) or
// ...".
std::vector<std::vector<std::string>> remedies_in(const std::string& message) {
  const std::string begin = "it would fit with ";
  std::vector<std::vector<std::string>> remedies;
  const std::size_t first = message.find(begin);
  if (first == std::string::npos) return remedies;
  std::istringstream list(message.substr(first + begin.size()));
  for (std::string remedy, size; std::getline(list, remedy, '(') && std::getline(list, size, ')');) {
    std::vector<std::string>& arguments = remedies.emplace_back();
    std::istringstream words(remedy);
    for (std::string word; words >> word;) {
      if (word == "two") arguments.insert(arguments.end(), {"--devices", "cpu:0,cpu:1"});
      if (!word.ends_with(':')) continue;
      std::string value;
      words >> value;
      if (value.ends_with(',')) value.pop_back();
      arguments.insert(arguments.end(), {"--set", fmt::format("{}={}", word.substr(0, word.size() - 1), value)});
    }
  }
  return remedies;
}

// ... and with a limit a little above and below what is needed, where megabytes decide.
TEST_F(MemoryLimit, is_refused_with_nothing_but_what_helps) {
  std::string job = kFullJob;
  job.insert(job.find("    - relu"), "    - batch_norm\n");
  std::size_t named = 0;
  for (const std::string& of : {std::string(kFullJob), job, job + "reproducible: true\n"}) {
    place_.write("job.yaml", of);
    const std::size_t needed = peak(plan({}));
    for (const std::size_t percent : {50, 70}) {
      const std::vector<std::string> limited{"--set", limit(needed * percent / 100)};
      const CommandResult refused = run("train", limited);
      if (refused.exit_code == 0) continue;
      for (std::vector<std::string> remedy : remedies_in(refused.err)) {
        remedy.insert(remedy.end(), limited.begin(), limited.end());
        remedy.insert(remedy.end(), {"--max-steps", "1"});
        const CommandResult helped = run("train", remedy);
        EXPECT_EQ(helped.exit_code, 0) << refused.err << helped.err;
        ++named;
      }
      if (of.find("reproducible") != std::string::npos) {
        EXPECT_THAT(refused.err, Not(HasSubstr("accumulate")));
      }
    }
  }
  EXPECT_GE(named, 3u);
}

TEST_F(MemoryLimit, that_one_device_cannot_keep_to_is_kept_to_by_two_that_hold_the_model_together) {
  const std::size_t whole = peak(plan({})), most = whole * 68 / 100;
  const CommandResult one = run("train", {"--out", "one", "--set", limit(most)});
  EXPECT_EQ(one.exit_code, 2);
  EXPECT_THAT(one.err, HasSubstr("two devices and parallel.split: 2 ("));
  ASSERT_EQ(run("train", {"--out", "free"}).exit_code, 0);
  for (const std::string kind : {"cpu", "fake"}) {
    const std::string devices = kind + ":0," + kind + ":1";
    const CommandResult split =
        run("train", {"--out", kind, "--devices", devices, "--split", "2", "--set", limit(most)});
    ASSERT_EQ(split.exit_code, 0) << split.err;
    EXPECT_LE(peak(place_.summary(kind)), most);
    EXPECT_NEAR(place_.summary(kind)["test"]["loss"], place_.summary("free")["test"]["loss"], 1e-4);
  }
}

}  // namespace
}  // namespace hadal
