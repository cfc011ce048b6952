#include "train/run_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

std::string text(const std::string& path) { return read_file(path, 1 << 20); }

// A folder as a run leaves it.
void fill(const RunFolder& run, const std::string& summary) {
  fs::create_directories(run.checkpoints());
  for (const std::string& file : {run.job(), run.plan(), run.metrics(), run.model()}) write_file(file, "earlier");
  write_file(run.checkpoints() + "/step-000000005.safetensors", "earlier");
  write_file(run.path() + "/notes.txt", "mine");
  if (!summary.empty()) write_file(run.summary(), summary);
}

void expect_empty(const RunFolder& run) {
  EXPECT_TRUE(fs::is_directory(run.path()));
  for (const std::string& file :
       {run.job(), run.plan(), run.metrics(), run.model(), run.summary(), run.checkpoints()}) {
    EXPECT_FALSE(fs::exists(file)) << file;
  }
}

TEST(RunFolder, is_made_with_the_folders_above_it) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("a/b/run"));
  EXPECT_EQ(run.start_anew(), "");
  expect_empty(run);
}

TEST(RunFolder, a_finished_run_is_replaced_and_what_is_not_its_own_stays) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("run"));
  fill(run, R"({"status":"done"})");
  EXPECT_EQ(run.start_anew(), "");
  expect_empty(run);
  EXPECT_EQ(text(run.path() + "/notes.txt"), "mine");
  EXPECT_FALSE(fs::exists(run.path() + ".1"));
}

TEST(RunFolder, an_unfinished_run_is_kept_beside_the_new_one) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("run"));
  int number = 0;
  for (const char* summary : {"", R"({"status":"stopped"})", "half of a {", R"({"status":5})", "[1]"}) {
    fill(run, summary);
    const std::string kept = run.path() + "." + std::to_string(++number);
    EXPECT_EQ(run.start_anew(), kept) << summary;
    expect_empty(run);
    EXPECT_EQ(text(kept + "/checkpoints/step-000000005.safetensors"), "earlier");
    EXPECT_EQ(text(kept + "/metrics.jsonl"), "earlier");
  }
}

TEST(RunFolder, an_unfinished_run_without_checkpoints_is_replaced) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("run"));
  fill(run, "");
  fs::remove_all(run.checkpoints());
  EXPECT_EQ(run.start_anew(), "");
  expect_empty(run);
  fill(run, "");
  fs::remove(run.checkpoints() + "/step-000000005.safetensors");
  EXPECT_EQ(run.start_anew(), "");
  expect_empty(run);
}

TEST(RunFolder, cannot_be_where_a_file_is) {
  const TemporaryFolder folder;
  RunFolder run(folder.write("run", "a file"));
  EXPECT_THROW((void)run.start_anew(), ConfigError);
  EXPECT_THROW(run.lock(), ConfigError);
  EXPECT_EQ(text(run.path()), "a file");
}

TEST(RunFolder, is_of_one_run_at_a_time) {
  const TemporaryFolder folder;
  RunFolder second(folder.path("run"));
  {
    RunFolder first(folder.path("run"));
    (void)first.start_anew();
    for (const std::string& file : {first.job(), first.plan()}) write_file(file, "mine");
    EXPECT_THROW((void)second.start_anew(), ConfigError);
    EXPECT_THROW(second.lock(), ConfigError);
    EXPECT_EQ(text(first.job()), "mine");
  }
  second.lock();
  EXPECT_EQ(text(second.job()), "mine");
}

TEST(RunFolder, that_max_steps_cut_short_is_kept) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("run"));
  fill(run, R"({"status":"done","steps":10,"total_steps":94})");
  EXPECT_EQ(run.start_anew(), run.path() + ".1");
  fill(run, R"({"status":"done","steps":94,"total_steps":94})");
  EXPECT_EQ(run.start_anew(), "");
}

TEST(RunFolder, does_not_replace_a_job_of_the_user) {
  const TemporaryFolder folder;
  write_file(folder.path("job.yaml"), "mine");
  RunFolder run(folder.path());
  EXPECT_THROW((void)run.start_anew(), ConfigError);
  EXPECT_THROW(run.lock(), ConfigError);
  EXPECT_EQ(text(folder.path("job.yaml")), "mine");
}

TEST(RunFolder, with_half_a_checkpoint_has_nothing_to_keep) {
  const TemporaryFolder folder;
  RunFolder run(folder.path("run"));
  fill(run, "");
  fs::rename(run.checkpoints() + "/step-000000005.safetensors", run.checkpoints() + "/step-000000005.safetensors.tmp");
  EXPECT_EQ(run.start_anew(), "");
  expect_empty(run);
}

TEST(MetricsLog, is_cut_back_to_the_step_and_goes_on) {
  const TemporaryFolder folder;
  const std::string path = folder.write("metrics.jsonl",
                                        "{\"step\":10,\"loss\":2.5}\n{\"step\":20,\"loss\":1.5}\n"
                                        "{\"step\":30,\"loss\":0.5}\n");
  MetricsLog log(path, 20);
  EXPECT_EQ(text(path), "{\"step\":10,\"loss\":2.5}\n{\"step\":20,\"loss\":1.5}\n");
  log.write({{"step", 30}, {"loss", 0.25}});
  EXPECT_EQ(text(path), "{\"step\":10,\"loss\":2.5}\n{\"step\":20,\"loss\":1.5}\n{\"step\":30,\"loss\":0.25}\n");
}

TEST(MetricsLog, begins_anew_at_step_0_and_where_there_was_none) {
  const TemporaryFolder folder;
  MetricsLog none(folder.path("none.jsonl"), 20);
  EXPECT_EQ(text(folder.path("none.jsonl")), "");
  const std::string path = folder.write("metrics.jsonl", "{\"step\":1}\n");
  MetricsLog log(path, 0);
  EXPECT_EQ(text(path), "");
}

TEST(MetricsLog, leaves_out_lines_that_are_none) {
  const TemporaryFolder folder;
  const std::string path = folder.write("metrics.jsonl",
                                        "\n[1]\n{\"loss\":1}\n{\"step\":\"2\"}\n{\"step\":null}\nnonsense\n"
                                        "{\"step\":3}\n{\"step\":4,\"lo");
  MetricsLog log(path, 9);
  EXPECT_EQ(text(path), "{\"step\":3}\n");
}

}  // namespace
}  // namespace hadal
