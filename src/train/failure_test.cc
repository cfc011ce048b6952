// A kernel that throws or hangs ends the round on every device, with an error that says where.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/error.h"
#include "testing/haunted_backend.h"
#include "testing/networks.h"
#include "testing/small_training.h"
#include "train/straggler.h"

namespace hadal {
namespace {

using testing::Accident;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::HauntedBackend;
using testing::SmallTrainer;
using testing::SmallTraining;
using ::testing::StartsWith;

struct Place {
  std::string step;
  int device = 0;
};

class Failure : public ::testing::TestWithParam<const char*> {
 protected:
  // Three devices (or so many), in groups of `split`, on which the kernel of `place` has accidents.
  LocalRunner& runner(const Place& place, Accident accident, const RunnerOptions& options = {}, int count = 3,
                      PlanOptions::Deferred deferred = {}, int split = 1) {
    SmallTraining training;
    training.network = testing::small_lenet();
    training.devices = testing::device_list(GetParam(), count);
    training.reference = true;
    training.shards = 0;
    training.topology = is_cpu() ? ExchangeTopology::shared : ExchangeTopology::direct;
    training.split = split;
    training.deferred = deferred;
    const SmallTrainer trainer(training);
    std::vector<Plan> plans = trainer.whole_batches();
    const int found = testing::kernel_of(plans[0], place.step, place.device);
    EXPECT_GE(found, 0) << place.step;
    batch_ = trainer.staged(training.batch, 0);
    DeviceOptions devices;
    for (const std::string& name : training.devices) devices.names.push_back(DeviceName::parse(name));
    devices.pin = false;
    devices.link = training.link;
    runner_ = std::make_unique<LocalRunner>(
        make_devices(devices), std::make_unique<HauntedBackend>(found, std::move(accident)), std::move(plans), options);
    for (int p = 0; p < static_cast<int>(trainer.network().parameters.size()); ++p) {
      runner_->write_parameter(p, initial_values(trainer.network(), p, 3));
    }
    return *runner_;
  }

  void run(std::uint64_t step) {
    StepValues values;
    values.step = step;
    values.rate = 0.01f;
    values.batch = batch_.data();
    runner_->run(0, values);
  }

  // The error of step `step`, and how long it took.
  std::string error_of(std::uint64_t step) {
    const auto start = Clock::now();
    std::string message;
    try {
      run(step);
    } catch (const DeviceError& error) {
      message = error.what();
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    return message;
  }

  bool is_cpu() const { return std::string(GetParam()) == "cpu"; }
  std::string device(int d) const { return GetParam() + (":" + std::to_string(d)); }

  std::vector<std::byte> batch_;
  std::unique_ptr<LocalRunner> runner_;
  double seconds_ = 0;
};

TEST_P(Failure, of_a_kernel_stops_all_devices_and_names_device_and_step) {
  for (const Place& place : {Place{"conv1.forward", 2}, Place{"wide.update", 1}, Place{"loss", 0}}) {
    SCOPED_TRACE(place.step);
    int runs = 0;
    runner(place, [&](const StepValues&) {
      if (++runs == 3) throw std::runtime_error("the card fell off the bus");
    });
    run(40);
    run(41);
    EXPECT_THAT(error_of(42), StartsWith(device(place.device) + ": " + place.step + " at step 42: the card fell off"));
    EXPECT_LT(seconds_, 1.0);
  }
}

TEST_P(Failure, of_a_part_of_a_layer_stops_all_groups_and_names_device_step_and_layer) {
  for (const Place& place : {Place{"conv1.forward", 3}, Place{"wide.backward", 0}, Place{"out.forward", 2}}) {
    SCOPED_TRACE(place.step);
    int runs = 0;
    LocalRunner& failing = runner(
        place,
        [&](const StepValues&) {
          if (++runs == 3) throw std::runtime_error("the card fell off the bus");
        },
        {}, 4, {}, 2);
    run(40);
    run(41);
    EXPECT_THAT(error_of(42), StartsWith(device(place.device) + ": " + place.step + " at step 42: the card fell off"));
    EXPECT_LT(seconds_, 1.0);
    EXPECT_EQ(failing.read_parameter(0).size(), 6u * 9u);  // of both parts
  }
}

TEST_P(Failure, leaves_parameters_to_read_and_a_runner_that_ends) {
  std::atomic<int> runs = 0;
  LocalRunner& failing = runner({"out.forward", 1}, [&](const StepValues&) {
    if (++runs == 3) throw 5;
  });
  const std::vector<float> first = failing.read_parameter(0);
  run(0);
  run(1);
  EXPECT_THAT(error_of(2), AllOf(HasSubstr("out.forward at step 2"), HasSubstr("no std::exception")));
  EXPECT_EQ(failing.read_parameter(0).size(), first.size());
  const auto start = Clock::now();
  runner_.reset();
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(1));
}

TEST_P(Failure, of_one_round_does_not_spoil_the_next) {
  std::atomic<bool> fails = false;
  runner({"conv2.forward", 1}, [&](const StepValues&) {
    if (fails) throw std::runtime_error("once");
  });
  run(0);
  fails = true;
  EXPECT_THAT(error_of(1), HasSubstr("once"));
  fails = false;
  const std::vector<float> before = runner_->read_parameter(0);
  run(1);
  EXPECT_NE(runner_->read_parameter(0), before);
}

TEST_P(Failure, of_a_kernel_that_hangs_is_told_by_who_waits_for_it) {
  RunnerOptions options;
  options.deadline_seconds = 1;
  std::atomic<bool> hangs = false;
  runner(
      {"conv1.backward_weights", 1},
      [&](const StepValues&) {
        if (hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1700));
      },
      options, 2);
  run(6);
  hangs = true;
  const std::string message = error_of(7);
  EXPECT_THAT(message, AllOf(HasSubstr("at step 7: "), HasSubstr("before the deadline; it needs ")));
  // Fake devices have copy streams too: the first to give up may be one that waits for a waiting one.
  if (is_cpu()) {
    EXPECT_THAT(message, AllOf(HasSubstr("cpu:0's compute stream waited"),
                               HasSubstr("it needs conv1.backward_weights of cpu:1")));
  }
  EXPECT_LT(seconds_, 3);
}

TEST_P(Failure, of_what_a_step_left_to_the_next_one_names_that_step) {
  if (is_cpu()) GTEST_SKIP() << "devices of one memory leave nothing";
  int runs = 0;
  runner({"conv1.weight.update", 0},
         [&](const StepValues& values) {
           EXPECT_EQ(values.step, runs == 0 ? 40u : 41u);
           if (++runs == 2) throw std::runtime_error("the card fell off the bus");
         },
         {}, 3, {1, 1});
  for (const std::uint64_t step : {40, 41}) run(step);
  EXPECT_THAT(error_of(42), StartsWith("fake:0: conv1.weight.update at step 41: the card fell off"));
  // It is not tried again: what the failed step began is not to be gone on from.
  runner_->settle();
  EXPECT_EQ(runs, 2);
}

TEST(Failure, of_a_transfer_that_is_stuck_names_peer_and_range) {
  SmallTraining training;
  training.network = {{4}, {testing::fully_connected("hidden", 256), testing::fully_connected("out", 7)}, {}};
  training.devices = testing::device_list("fake", 2);
  training.topology = ExchangeTopology::direct;
  training.content = ExchangeContent::gradients;
  training.shards = 0;
  training.link = {2000, 0};  // bytes a second: a batch is there in a tenth of one, the first gradient takes two
  training.runner.deadline_seconds = 1;
  SmallTrainer trainer(training);
  trainer.bind();
  const auto start = Clock::now();
  try {
    trainer.step(0);
    FAIL() << "a transfer of two seconds came before a deadline of one";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("weight.send_gradient ("), HasSubstr(".weight.gradient [0, "),
                                    HasSubstr(") to fake:"), HasSubstr("at step 0"), HasSubstr("deadline")));
  }
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(3));
}

TEST_P(Failure, to_keep_up_is_told_with_its_cost) {
  constexpr int kSteps = 20;
  LocalRunner& slow = runner({"conv1.forward", 1},
                             [](const StepValues&) { std::this_thread::sleep_for(std::chrono::milliseconds(30)); });
  for (int step = 0; step < kSteps; ++step) run(static_cast<std::uint64_t>(step));
  const auto straggler = find_straggler(slow.plan(0), slow.use(), kSteps);
  ASSERT_TRUE(straggler);
  EXPECT_EQ(straggler->device, 1);
  EXPECT_GT(straggler->slowdown, 1.5);
  EXPECT_NEAR(straggler->step_seconds, 0.03, 0.015);
  EXPECT_THAT(describe(*straggler, slow.plan(0)), StartsWith(device(1) + " is slow: its kernels take "));
}

INSTANTIATE_TEST_SUITE_P(all, Failure, ::testing::Values("cpu", "fake"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace hadal
