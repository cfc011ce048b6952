// A run whose kernel fails in one part of a model ends with an error that says where, and goes on from its checkpoint.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "testing/haunted_backend.h"
#include "testing/temporary_folder.h"
#include "train/trainer.h"

namespace hadal {
namespace {

using ::testing::StartsWith;

JobSpec split_job() {
  return parse_job(
      "name: parts\n"
      "network: {input: [20], layers: [fully_connected: {name: hidden, out: 32}, relu, fully_connected: {out: 4}]}\n"
      "data: {train: {synthetic: {samples: 64, classes: 4}}, batch: 8}\n"
      "solver: {epochs: 2, rule: {sgd: {rate: 0.05, momentum: 0.9}}}\n"
      "checkpoint: {every_steps: 5}\n"
      "backend: reference\n"
      "parallel: {devices: [fake:0, fake:1, fake:2, fake:3], split: 2}\n",
      "job.yaml");
}

std::string sha256_of(const JobSpec& job, const std::string& out, bool resume = false) {
  TrainOptions options;
  options.out = out;
  options.resume = resume;
  return Trainer(job).run(options).at("model_sha256");
}

TEST(BrokenRun, of_a_part_says_where_and_goes_on_from_its_checkpoint) {
  const testing::TemporaryFolder folder;
  const JobSpec job = split_job();
  const std::string unbroken = sha256_of(job, folder.path("unbroken"));
  const std::string step = "hidden.forward";
  const int kernel = testing::kernel_of(Trainer(job).engine().runner().plan(0), step, 3);
  ASSERT_GE(kernel, 0);
  int steps = 0;
  const BackendMaker backend_of = [&](const JobSpec&) {
    return std::make_unique<testing::HauntedBackend>(kernel, [&](const StepValues&) {
      if (++steps == 9) throw std::runtime_error("the card fell off the bus");
    });
  };
  TrainOptions options;
  options.out = folder.path("broken");
  try {
    Trainer(job, false, backend_of).run(options);
    FAIL() << "no kernel failed";
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.exit_code(), 4);
    EXPECT_THAT(error.what(), StartsWith("fake:3: hidden.forward at step 8: the card fell off the bus"));
  }
  // The last checkpoint is intact, on whatever the run goes on.
  const Network network = build_network(job.network);
  const auto checkpoint = load_newest_checkpoint(RunFolder(options.out).checkpoints(), network,
                                                 [](const std::string& notice) { ADD_FAILURE() << notice; });
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->position.step, 5);
  EXPECT_EQ(sha256_of(job, options.out, true), unbroken);
}

}  // namespace
}  // namespace hadal
