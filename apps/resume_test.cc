// A run that is killed, stopped or damaged at any moment ends, once resumed, in the model of a run that was left alone.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "testing/workplace.h"

namespace hadal {
namespace {

using testing::Command;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kSmallJobSteps;
using testing::SmallWorkplace;

namespace fs = std::filesystem;

#ifdef HADAL_SANITIZED
constexpr int kKilledRuns = 3;
#else
constexpr int kKilledRuns = 20;
#endif

std::vector<std::string> train(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"train", "job.yaml", "--json", "--threads", "1", "--out", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> operator+(std::vector<std::string> list, const std::string& word) {
  list.push_back(word);
  return list;
}

// The lines of metrics.jsonl without what depends on the clock.
std::vector<nlohmann::json> metrics(const SmallWorkplace& place, const std::string& run) {
  std::vector<nlohmann::json> lines = testing::json_lines(place.read(run + "/metrics.jsonl"));
  for (nlohmann::json& line : lines) {
    line.erase("samples_per_second");
    line.erase("verdict");
  }
  return lines;
}

void expect_same_run(const SmallWorkplace& place, const std::string& run, const std::string& whole) {
  EXPECT_EQ(place.sha256(run), place.sha256(whole));
  EXPECT_EQ(metrics(place, run), metrics(place, whole));
  EXPECT_EQ(place.summary(run)["test"], place.summary(whole)["test"]);
}

std::int64_t steps_reported(const SmallWorkplace& place, const std::string& run) {
  const std::string text = place.read(run + "/metrics.jsonl");
  return std::count(text.begin(), text.end(), '\n');
}

// Kills it once `steps` steps are in metrics.jsonl (this job reports each), and `delay` later. Returns whether it was
// still running.
bool kill_after(Command& command, const SmallWorkplace& place, const std::string& run, std::int64_t steps,
                std::chrono::microseconds delay) {
  while (command.running() && steps_reported(place, run) < steps) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  std::this_thread::sleep_for(delay);
  command.kill(SIGKILL);
  return command.wait().signal == SIGKILL;
}

std::string name_of(const ::testing::TestParamInfo<const char*>& which) {
  std::string name = which.param;
  const auto is_letter = [](char c) { return ('a' <= c && c <= 'z') || ('0' <= c && c <= '9'); };
  for (char& c : name) c = is_letter(c) ? c : '_';
  return name;
}

class KilledRuns : public ::testing::TestWithParam<const char*> {};

TEST_P(KilledRuns, end_in_the_model_of_a_run_left_alone) {
  const std::vector<std::string> job{"--set", GetParam()};
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole", job)).exit_code, 0);
  ASSERT_EQ(steps_reported(place, "whole"), kSmallJobSteps);
  int kills = 0;
  for (int seed = 0; seed < kKilledRuns; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(static_cast<unsigned>(seed));
    const std::string run = "run" + std::to_string(seed);
    const int wanted = 1 + static_cast<int>(random() % 3);
    std::cout << "seed " << seed << ": killed at step";
    for (int i = 0; i < wanted; ++i) {
      // Uniform over what is left of the run.
      const std::int64_t done = steps_reported(place, run);
      const auto steps = done + static_cast<std::int64_t>(random() % static_cast<unsigned>(kSmallJobSteps - done + 1));
      const std::chrono::microseconds delay(random() % 3000);
      Command command(place.path(), train(run, job) + "--resume");
      kills += kill_after(command, place, run, steps, delay);
      std::cout << " " << steps_reported(place, run);
    }
    std::cout << "\n";
    const CommandResult result = place.hadal(train(run, job) + "--resume");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_same_run(place, run, "whole");
    fs::remove_all(place.path(run));
  }
  EXPECT_GE(kills, kKilledRuns / 2);
}

INSTANTIATE_TEST_SUITE_P(Jobs, KilledRuns,
                         ::testing::Values("reproducible=true", "reproducible=false", "precision=bf16",
                                           "solver.rule={adam: {rate: 0.001}}"),
                         name_of);

// A way to run the small job.
struct Trial {
  int devices = 1;
  std::string topology, rule;
  bool killed = false;
};

std::vector<Trial> all_trials() {
  std::vector<Trial> trials;
  for (const char* rule : {"sgd: {rate: 0.05, momentum: 0.9}", "adagrad: {rate: 0.01}", "adam: {rate: 0.001}"}) {
    for (const int devices : {1, 2, 3, 4, 6}) {
      for (const char* topology : {"shared", "direct", "line", "tree", "ring"}) {
        for (const bool killed : {false, true}) trials.push_back({devices, topology, rule, killed});
      }
    }
  }
  return trials;
}

// The small job with its activations normalised before they are applied.
std::string with_batch_norm(std::string job) {
  for (std::size_t at = job.find("    - relu"); at != std::string::npos; at = job.find("    - relu", at + 30)) {
    job.insert(at, "    - batch_norm\n");
  }
  return job;
}

// With HADAL_LONG_TESTS=1 all of them, else every eleventh.
TEST(Reproducible, one_model_a_rule_in_every_topology_on_any_devices_and_through_kills) {
  const std::vector<Trial> trials = all_trials();
  const std::size_t stride = std::getenv("HADAL_LONG_TESTS") == nullptr ? 11 : 1;
  SmallWorkplace place;
  place.write("job.yaml", with_batch_norm(testing::kSmallJob));
  std::map<std::string, std::string> models;  // by rule
  int kills = 0, killed_trials = 0;
  for (std::size_t i = 0; i < trials.size(); i += stride) {
    const Trial& trial = trials[i];
    const std::string run = fmt::format("run{}", i);
    SCOPED_TRACE(fmt::format("{}, {} devices, {}", trial.rule, trial.devices, trial.topology));
    std::string devices;  // those that share a memory are cpu devices
    for (int d = 0; d < trial.devices; ++d) {
      devices += fmt::format("{}{}:{}", d > 0 ? "," : "", trial.topology == "shared" ? "cpu" : "fake", d);
    }
    const std::vector<std::string> arguments =
        train(run, {"--set", "solver.rule={" + trial.rule + "}", "--devices", devices, "--set",
                    "exchange.topology=" + trial.topology, "--resume"});
    if (trial.killed) {
      Command command(place.path(), arguments);
      kills += kill_after(command, place, run, 6 + static_cast<std::int64_t>(i % 20), std::chrono::microseconds(0));
      ++killed_trials;
    }
    const CommandResult result = place.hadal(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(models.emplace(trial.rule, place.sha256(run)).first->second, place.sha256(run));
    fs::remove_all(place.path(run));
  }
  EXPECT_EQ(models.size(), 3u);
  EXPECT_GE(kills, killed_trials / 2);
}

struct Moment {
  const char* what;
  const char* call;
  int count;  // the first checkpoint takes one fsync and one rename, and a write for each of its tensors and two more
};

TEST(Resume, a_kill_inside_a_checkpoint_leaves_the_one_before) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "the shim cannot be preloaded before a sanitizer's runtime";
#endif
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole")).exit_code, 0);
  for (const Moment& moment : {Moment{"kill", "write", 1},
                               {"kill", "write", 20},
                               {"kill_after", "write", 21},
                               {"kill", "write", 28},
                               {"kill", "fsync", 1},
                               {"kill", "fsync", 3},
                               {"kill_after", "fsync", 4},
                               {"kill", "rename", 1},
                               {"kill", "rename", 4},
                               {"kill_after", "rename", 5}}) {
    const std::string fault = std::string(moment.what) + ":" + moment.call + ":" + std::to_string(moment.count);
    SCOPED_TRACE(fault);
    const CommandResult killed =
        place.hadal(train("run"), {std::string("LD_PRELOAD=") + HADAL_FAULT_SHIM, "HADAL_FAULT=" + fault});
    ASSERT_EQ(killed.signal, SIGKILL);
    const auto left = place.checkpoints("run");
    ASSERT_FALSE(left.empty());
    const bool renamed = std::string(moment.what) == "kill_after" && std::string(moment.call) == "rename";
    EXPECT_EQ(left.back().ends_with(".tmp"), !renamed) << left.back();
    const CommandResult resumed = place.hadal(train("run") + "--resume");
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_same_run(place, "run", "whole");
    for (const std::string& name : place.checkpoints("run")) EXPECT_TRUE(name.ends_with(".safetensors")) << name;
    EXPECT_EQ(place.checkpoints("run").size(), 3u);
    fs::remove_all(place.path("run"));
  }
}

class OtherDevices : public ::testing::TestWithParam<const char*> {};

TEST_P(OtherDevices, go_on_with_a_run) {
  SmallWorkplace place;
  const auto train_on = [&](const std::string& run, std::vector<std::string> more) {
    more.insert(more.end(), {"--set", GetParam()});
    return place.hadal(train(run, more));
  };
  ASSERT_EQ(train_on("whole", {}).exit_code, 0);
  ASSERT_EQ(train_on("run", {"--max-steps", "13", "--devices", "cpu:0"}).exit_code, 0);
  ASSERT_EQ(train_on("run", {"--max-steps", "27", "--devices", "fake:0,fake:1,fake:2", "--resume"}).exit_code, 0);
  const CommandResult result = train_on("run", {"--devices", "cpu:0,cpu:1", "--resume"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("resuming run at step 27"));
  expect_same_run(place, "run", "whole");
}

INSTANTIATE_TEST_SUITE_P(Precision, OtherDevices, ::testing::Values("precision=fp32", "precision=bf16"), name_of);

class Interrupted : public ::testing::TestWithParam<const char*> {};

TEST_P(Interrupted, keeps_a_checkpoint_and_goes_on) {
  // Long enough not to end before the signal, and no checkpoint of its own.
  const std::vector<std::string> job{
      "--set", GetParam(), "--set", "solver.epochs=90", "--set", "checkpoint.every_steps=0"};
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole", job)).exit_code, 0);
  Command command(place.path(), train("run", job));
  while (command.running() && steps_reported(place, "run") < 7)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  command.kill(SIGINT);
  const CommandResult stopped = command.wait();
  ASSERT_EQ(stopped.exit_code, 5) << stopped.err;
  EXPECT_EQ(testing::lines(stopped.err).size(), 1u) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("stopped at step"));
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  EXPECT_EQ(place.checkpoints("run").size(), 1u);
  EXPECT_EQ(place.summary("run")["status"], "stopped");
  EXPECT_FALSE(place.has("run/model.safetensors"));
  const CommandResult resumed = place.hadal(train("run", job) + "--resume");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(place.summary("run")["status"], "done");
  expect_same_run(place, "run", "whole");
}

INSTANTIATE_TEST_SUITE_P(Jobs, Interrupted, ::testing::Values("reproducible=true", "reproducible=false"), name_of);

// A handler on a thread that computes would corrupt memory (apps/stop_signals.h).
TEST(Signals, no_thread_takes_a_signal_in_a_handler) {
  SmallWorkplace place;
  Command command(place.path(), train("run", {"--set", "solver.epochs=100000", "--devices", "cpu:0,cpu:1"}));
  while (command.running() && steps_reported(place, "run") < 7) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::string process = std::to_string(command.process());
  int threads = 0, open = 0;  // open: the thread that waits for them, which seems to block none meanwhile
  for (const auto& task : fs::directory_iterator("/proc/" + process + "/task")) {
    const std::string status = testing::contents(task.path().string() + "/status");
    if (status.empty()) continue;  // the thread of an epoch's data has just ended
    const std::size_t at = status.find("SigBlk:");
    ASSERT_NE(at, std::string::npos);
    const auto blocked = std::stoull(status.substr(at + 7), nullptr, 16);
    const bool both = (blocked >> (SIGINT - 1) & 1) && (blocked >> (SIGTERM - 1) & 1);
    EXPECT_TRUE(both || task.path().filename() != process) << "the training thread";
    open += !both;
    ++threads;
  }
  EXPECT_GE(threads, 3);
  EXPECT_LE(open, 1);
  command.kill(SIGTERM);
  EXPECT_EQ(command.wait().exit_code, 5);
}

TEST(Resume, a_run_that_goes_on_has_no_model_until_it_ends) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run") + "--max-steps" + "10").exit_code, 0);
  ASSERT_TRUE(place.has("run/model.safetensors"));
  Command resumed(place.path(), train("run", {"--resume"}));
  while (resumed.running() && place.checkpoints("run").size() < 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  resumed.kill(SIGKILL);
  const CommandResult killed = resumed.wait();
  if (killed.exit_code == 0) GTEST_SKIP() << "it ended before it was killed";
  EXPECT_FALSE(place.has("run/model.safetensors"));
  const CommandResult eval = place.hadal({"eval", "run"});
  EXPECT_EQ(eval.exit_code, 2);
  EXPECT_THAT(eval.err, HasSubstr("its training has not ended"));
}

TEST(Resume, passes_over_a_damaged_checkpoint) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole")).exit_code, 0);
  for (const bool cut : {true, false}) {
    ASSERT_EQ(place.hadal(train("run", {"--max-steps", "17"})).exit_code, 0);
    ASSERT_EQ(place.checkpoints("run").back(), "step-000000017.safetensors");
    const std::string newest = "run/checkpoints/step-000000017.safetensors";
    std::string bytes = place.read(newest);
    bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 1);
    place.write(newest, cut ? bytes.substr(0, bytes.size() / 2) : bytes);
    const CommandResult resumed = place.hadal(train("run") + "--resume");
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr(newest));
    EXPECT_THAT(resumed.err, HasSubstr("passed over"));
    EXPECT_THAT(resumed.err, HasSubstr("resuming run at step 15"));
    expect_same_run(place, "run", "whole");
  }
}

TEST(Resume, starts_anew_where_there_is_nothing_to_resume) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole")).exit_code, 0);
  const CommandResult result = place.hadal(train("run") + "--resume");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("starting anew"));
  expect_same_run(place, "run", "whole");
}

TEST(Resume, of_a_finished_run_changes_nothing) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run")).exit_code, 0);
  const std::string sha256 = place.sha256("run"), log = place.read("run/metrics.jsonl");
  const CommandResult again = place.hadal(train("run") + "--resume");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(place.sha256("run"), sha256);
  EXPECT_EQ(place.read("run/metrics.jsonl"), log);
}

TEST(Resume, a_finished_run_that_went_on_and_was_killed_is_unfinished) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run", {"--max-steps", "5"})).exit_code, 0);
  Command command(place.path(), train("run") + "--resume");
  ASSERT_TRUE(kill_after(command, place, "run", 12, {}));
  const CommandResult anew = place.hadal(train("run"));
  ASSERT_EQ(anew.exit_code, 0) << anew.err;
  EXPECT_THAT(anew.err, HasSubstr("kept as run.1"));
}

// What could not start takes nothing from the run that was there.
TEST(FinishedRun, stays_where_the_next_one_cannot_start) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run")).exit_code, 0);
  const std::string sha256 = place.sha256("run"), log = place.read("run/metrics.jsonl");
  const std::vector<std::vector<std::string>> mistakes{
      {"--init", "nope"},
      {"--init-partial", "nope"},
      {"--init", "run/metrics.jsonl"},
      {"--init", "run/model.safetensors", "--set", "network.layers.3.fully_connected.out=25"},
      {"--trace", "nowhere/trace.json"},
      {"--trace", "."},
  };
  for (const std::vector<std::string>& mistake : mistakes) {
    const CommandResult refused = place.hadal(train("run", mistake));
    EXPECT_THAT(refused.exit_code, ::testing::AnyOf(2, 3, 4)) << mistake[0] << " " << mistake[1];
    ASSERT_TRUE(place.has("run/model.safetensors")) << mistake[0] << " " << mistake[1] << ": " << refused.err;
    if (mistake[0] == "--trace") {
      EXPECT_EQ(refused.exit_code, 2) << mistake[1];
    }
    EXPECT_EQ(place.sha256("run"), sha256);
    EXPECT_EQ(place.read("run/metrics.jsonl"), log);
    EXPECT_FALSE(place.has("run.1"));
  }
}

TEST(FinishedRun, is_a_start_for_itself) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run")).exit_code, 0);
  const std::string sha256 = place.sha256("run");
  const CommandResult same = place.hadal(
      train("run", {"--init", "run/model.safetensors", "--max-steps", "1", "--set", "solver.rule.sgd.rate=0"}));
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_EQ(place.sha256("run"), sha256);
}

TEST(FinishedRun, is_kept_where_none_of_its_checkpoints_can_be_resumed) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run")).exit_code, 0);
  const std::string model = place.read("run/model.safetensors");
  for (const auto& file : fs::directory_iterator(place.path() + "/run/checkpoints")) {
    fs::resize_file(file.path(), fs::file_size(file.path()) / 2);
  }
  const CommandResult anew = place.hadal(train("run") + "--resume");
  ASSERT_EQ(anew.exit_code, 0) << anew.err;
  EXPECT_THAT(anew.err, HasSubstr("kept as run.1"));
  EXPECT_EQ(place.read("run.1/model.safetensors"), model);
}

TEST(Trace, that_cannot_be_written_leaves_the_last_one) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run", {"--trace", "trace.json"})).exit_code, 0);
  const std::string trace = place.read("trace.json");
  EXPECT_NE(place.hadal(train("run", {"--trace", "trace.json", "--init", "nope"})).exit_code, 0);
  EXPECT_EQ(place.read("trace.json"), trace);
  place.write("trace.json", "mine");
  Command command(place.path(), train("run", {"--trace", "trace.json"}));
  ASSERT_TRUE(kill_after(command, place, "run", 3, {}));
  EXPECT_EQ(place.read("trace.json"), "mine");
}

TEST(MaxSteps, then_resume_with_more_is_one_run) {
  for (const char* reproducible : {"true", "false"}) {
    SmallWorkplace place;
    const std::string setting = std::string("reproducible=") + reproducible;
    ASSERT_EQ(place.hadal(train("whole", {"--set", setting})).exit_code, 0);
    ASSERT_EQ(place.hadal(train("run", {"--set", setting, "--max-steps", "7"})).exit_code, 0);
    EXPECT_EQ(place.summary("run")["steps"], 7);
    EXPECT_TRUE(place.has("run/model.safetensors"));
    EXPECT_NE(place.sha256("run"), place.sha256("whole"));
    ASSERT_EQ(place.hadal(train("run", {"--set", setting, "--max-steps", "23", "--resume"})).exit_code, 0);
    EXPECT_EQ(place.summary("run")["steps"], 23);
    ASSERT_EQ(place.hadal(train("run", {"--set", setting, "--resume"})).exit_code, 0);
    EXPECT_EQ(place.summary("run")["steps"], kSmallJobSteps);
    EXPECT_EQ(place.summary("run")["samples"], place.summary("whole")["samples"]);
    expect_same_run(place, "run", "whole");
  }
}

TEST(Init, starts_from_given_parameters) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("teacher")).exit_code, 0);
  const std::string model = "teacher/model.safetensors";
  const std::vector<std::string> still{"--max-steps", "1", "--set", "solver.rule.sgd.rate=0"};
  const CommandResult same = place.hadal(train("same", still) + "--init" + model);
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_EQ(place.sha256("same"), place.sha256("teacher"));

  const std::string rename = "network.layers.6.fully_connected.name=other";
  const CommandResult refused = place.hadal(train("refused", still) + "--set" + rename + "--init" + model);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("other.weight"));
  EXPECT_THAT(refused.err, HasSubstr("--init-partial"));
  const CommandResult partial = place.hadal(train("partial", still) + "--set" + rename + "--init-partial" + model);
  ASSERT_EQ(partial.exit_code, 0) << partial.err;
  EXPECT_THAT(partial.err, HasSubstr("started from 4 parameters"));
  const CommandResult misfit =
      place.hadal(train("misfit", still) + "--set" + "network.layers.3.fully_connected.out=25" + "--init" + model);
  EXPECT_EQ(misfit.exit_code, 2);
  EXPECT_THAT(misfit.err, HasSubstr("hidden.weight"));
}

}  // namespace
}  // namespace hadal
