// No kernel touches memory that its plan does not list: all else is closed while it runs.

#include <gtest/gtest.h>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

SmallTraining guarded(const NetworkSpec& network, const std::string& kind, bool reference) {
  SmallTraining training;
  training.network = network;
  training.devices = testing::device_list(kind, 3);
  training.topology = kind == "cpu" ? ExchangeTopology::shared : ExchangeTopology::direct;
  training.reference = reference;
  training.runner.guarded = true;
  return training;
}

TEST(Guarded, whole_steps_touch_only_what_their_plans_list) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "one thread runs it, in minutes, and closed memory needs no sanitizer";
#endif
  for (const NetworkSpec& network : {testing::small_lenet(), testing::small_dag(), testing::small_mlp(),
                                     testing::small_batch_norm(), testing::pages()}) {
    for (const char* kind : {"cpu", "fake"}) {
      for (const bool reference : {false, true}) {
        SmallTraining training = guarded(network, kind, reference);
        for (const auto& [clip_norm, precision] :
             {std::pair{0.0, DType::f32}, {0.5, DType::f32}, {0.0, DType::bf16}, {0.5, DType::bf16}}) {
          training.clip_norm = clip_norm;
          training.precision = precision;
          training.deferred = {std::string(kind) == "fake" && clip_norm == 0 ? 2 : 0, 1};
          SmallTraining free = training;
          free.runner.guarded = false;
          EXPECT_EQ(testing::train(training), testing::train(free)) << kind;
        }
        for (const DType precision : {DType::f32, DType::bf16}) {
          SmallTraining split = guarded(network, kind, reference);
          split.devices = testing::device_list(kind, 4);
          split.precision = precision;
          split.shards = 0;
          split.split = 2;
          SmallTraining free = split;
          free.runner.guarded = false;
          EXPECT_EQ(testing::train(split), testing::train(free)) << kind << ", split";
        }
      }
    }
  }
}

#ifndef HADAL_SANITIZED
TEST(GuardedDeathTest, a_kernel_that_reads_what_its_plan_does_not_list_dies) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  SmallTraining training = guarded(testing::small_mlp(), "cpu", true);
  EXPECT_EXIT(
      {
        SmallTrainer trainer(training);
        Plan plan = trainer.plan(training.batch);
        for (Step& step : plan.steps) {
          // The plan now says that a layer reads one number of its four pages of weights.
          if (step.name == "h2.forward") step.reads[1].count = 1;
        }
        trainer.bind({std::move(plan)});
        trainer.run(0, 0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  training = guarded(testing::pages(), "cpu", true);
  EXPECT_EXIT(
      {
        SmallTrainer trainer(training);
        Plan plan = trainer.plan(training.batch);
        for (Step& step : plan.steps) {
          // ... and that one reads a row fewer than it does.
          if (step.name == "s1.forward") step.reads[0].count -= 1024;
        }
        trainer.bind({std::move(plan)});
        trainer.run(0, 0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
}
#endif

}  // namespace
}  // namespace hadal
