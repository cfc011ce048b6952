// Rates and ends that follow the test loss, through kills and resumes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SmallWorkplace;

// The small job with another rate, of ten steps an epoch.
std::vector<std::string> train(const std::string& run, const std::string& rate, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"train", "job.yaml",       "--out", run, "--set", "solver.rule.sgd.rate=" + rate,
                                     "--set", "solver.epochs=5"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// The rate of each epoch.
std::vector<double> rates(const SmallWorkplace& place, const std::string& run) {
  std::vector<double> rates;
  std::istringstream lines(place.read(run + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const json metrics = json::parse(line);
    if (metrics.contains("test_loss")) rates.push_back(metrics["rate"]);
  }
  return rates;
}

// With a rate so small the loss stays as it is: only the first epoch is better than what was before.
constexpr const char* kStalls = "{plateau: {base: 1e-12, factor: 0.5, patience: 1}}";

TEST(Plateau, rate_falls_where_the_loss_does_not) {
  SmallWorkplace place;
  const CommandResult run = place.hadal(train("run", kStalls));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(rates(place, "run"), ElementsAre(1e-12, 1e-12, 1e-12, 5e-13, 5e-13));
  EXPECT_THAT(
      run.out + run.err,
      HasSubstr("epoch 3: for 2 epochs the test loss has not been below the best by 0.1 %: the rate is now 5e-13"));
}

TEST(Plateau, rate_stays_where_the_loss_falls) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run", "{plateau: {base: 0.01, patience: 2}}")).exit_code, 0);
  EXPECT_THAT(rates(place, "run"), ElementsAre(0.01, 0.01, 0.01, 0.01, 0.01));
}

TEST(Plateau, goes_on_after_a_resume_as_if_it_had_not_stopped) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("whole", kStalls)).exit_code, 0);
  for (const char* steps : {"17", "30", "33"}) {
    ASSERT_EQ(place.hadal(train("run", kStalls, {"--resume", "--max-steps", steps})).exit_code, 0);
  }
  ASSERT_EQ(place.hadal(train("run", kStalls, {"--resume"})).exit_code, 0);
  EXPECT_EQ(rates(place, "run"), rates(place, "whole"));
  EXPECT_EQ(place.sha256("run"), place.sha256("whole"));
}

TEST(EarlyStopping, ends_a_run_that_no_longer_gets_better) {
  SmallWorkplace place;
  const std::vector<std::string> patience{"--set", "solver.early_stopping.patience=2"};
  const CommandResult run = place.hadal(train("run", "1e-12", patience));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json summary = place.summary("run");
  EXPECT_EQ(summary["status"], "done");
  EXPECT_EQ(summary["steps"], 30);
  EXPECT_EQ(summary["stopped_early"], true);
  EXPECT_THAT(run.out + run.err, HasSubstr("stopped early, after epoch 3"));
  EXPECT_TRUE(place.has("run/model.safetensors"));
  // It has ended: there is nothing to go on with.
  std::vector<std::string> again = train("run", "1e-12", patience);
  again.push_back("--resume");
  ASSERT_EQ(place.hadal(again).exit_code, 0);
  EXPECT_EQ(place.summary("run")["steps"], 30);
}

TEST(EarlyStopping, leaves_a_run_that_gets_better) {
  SmallWorkplace place;
  ASSERT_EQ(place.hadal(train("run", "0.01", {"--set", "solver.early_stopping.patience=3"})).exit_code, 0);
  EXPECT_EQ(place.summary("run")["steps"], 50);
  EXPECT_FALSE(place.summary("run").contains("stopped_early"));
}

TEST(EarlyStopping, needs_a_test_loss) {
  SmallWorkplace place;
  std::string job = place.read("job.yaml");
  job.erase(job.find("  test:"), job.find("  batch:") - job.find("  test:"));
  place.write("job.yaml", job);
  const CommandResult run = place.hadal({"plan", "job.yaml", "--set", "solver.early_stopping.patience=3"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("solver.early_stopping follows the loss of data.test, which the job does not have"));
}

TEST(TestEvery, evaluates_after_each_so_many_epochs_and_the_last) {
  SmallWorkplace place;
  const std::vector<std::string> second{"--set", "solver.test_every=2"};
  ASSERT_EQ(place.hadal(train("run", "{step: {base: 1, every_epochs: 1, factor: 0.5}}", second)).exit_code, 0);
  EXPECT_THAT(rates(place, "run"), ElementsAre(0.5, 0.125, 0.0625));  // of epochs 2, 4 and 5
  EXPECT_TRUE(place.summary("run").contains("test"));
}

TEST(TestEvery, leaves_no_epoch_out_where_a_rate_follows_its_loss) {
  SmallWorkplace place;
  const CommandResult run = place.hadal(train("run", kStalls, {"--set", "solver.test_every=2"}));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("solver.test_every must be 1 where a plateau rate"));
}

}  // namespace
}  // namespace hadal
