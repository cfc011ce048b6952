// The planned arena is what training touches, to the byte; and the process grows by what was planned.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::device_list;
using testing::SmallTrainer;
using testing::SmallTraining;

constexpr std::size_t kPage = 4096;

// The bytes of an arena, and of what is left of its last page.
std::span<std::byte> pages_of(const LocalRunner& runner, int device) {
  const auto arena = runner.arena(device);
  return {arena.data(), (arena.size() + kPage - 1) / kPage * kPage};
}

// Fills all arenas with `pattern`, gives parameters and momentum their values and runs the plan twice.
std::vector<std::vector<std::byte>> arenas_after(const SmallTraining& training, PlanMode mode, std::byte pattern,
                                                 std::vector<DeviceUse>& use) {
  SmallTrainer trainer(training);
  const bool defers = mode == PlanMode::train && training.deferred.updates > 0;
  LocalRunner& runner = defers ? trainer.bind() : trainer.bind({trainer.plan(training.batch, mode)});
  const int devices = static_cast<int>(training.devices.size());
  for (int d = 0; d < devices; ++d) std::ranges::fill(pages_of(runner, d), pattern);
  for (int p = 0; p < static_cast<int>(trainer.network().parameters.size()); ++p) {
    const std::vector<float> values = initial_values(trainer.network(), p, 3);
    runner.write_parameter(p, values);
    runner.write_state(p, 0, std::vector<float>(values.size()));
  }
  for (int step = 0; step < 2; ++step) trainer.run(0, step);
  runner.settle();
  use = runner.use();
  std::vector<std::vector<std::byte>> arenas;
  for (int d = 0; d < devices; ++d) arenas.emplace_back(pages_of(runner, d).begin(), pages_of(runner, d).end());
  return arenas;
}

// The end of the highest byte that was written: what was written is no longer one of two patterns.
std::size_t mark(const std::vector<std::byte>& first, std::byte first_pattern, const std::vector<std::byte>& second,
                 std::byte second_pattern) {
  for (std::size_t i = first.size(); i-- > 0;) {
    if (first[i] != first_pattern || second[i] != second_pattern) return i + 1;
  }
  return 0;
}

struct MemoryCase {
  std::string name;
  NetworkSpec network;
  std::string device;
  int count = 1;
  bool reference = false;
  DType precision = DType::f32;
  PlanOptions::Deferred deferred{};
  int split = 1;
  bool again = false;
};

class Memory : public ::testing::TestWithParam<MemoryCase> {};

TEST_P(Memory, the_plan_is_the_high_water_mark_to_the_byte) {
  SmallTraining training;
  training.network = GetParam().network;
  training.devices = device_list(GetParam().device, GetParam().count);
  training.topology = GetParam().device == "cpu" ? ExchangeTopology::shared : ExchangeTopology::direct;
  training.reference = GetParam().reference;
  training.precision = GetParam().precision;
  training.deferred = GetParam().deferred;
  training.split = GetParam().split;
  training.again = GetParam().again;
  for (const std::int64_t shards : {0, 12}) {
    for (const PlanMode mode : {PlanMode::train, PlanMode::evaluate, PlanMode::predict}) {
      training.shards = shards;
      constexpr std::byte kOne{0x5a}, kOther{0xc3};
      std::vector<DeviceUse> use;
      const auto first = arenas_after(training, mode, kOne, use), second = arenas_after(training, mode, kOther, use);
      for (std::size_t d = 0; d < use.size(); ++d) {
        const std::size_t measured = mark(first[d], kOne, second[d], kOther);
        EXPECT_EQ(measured, use[d].memory.peak) << "device " << d << ", mode " << static_cast<int>(mode);
        EXPECT_EQ(use[d].arena_bytes, use[d].memory.peak) << "device " << d;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    all, Memory,
    ::testing::Values(
        MemoryCase{"lenet", testing::small_lenet(), "cpu"}, MemoryCase{"lenet_on_3", testing::small_lenet(), "cpu", 3},
        MemoryCase{"lenet_on_3_fake", testing::small_lenet(), "fake", 3},
        MemoryCase{"dag", testing::small_dag(), "cpu"},
        MemoryCase{"batch_norm_on_2_fake", testing::small_batch_norm(), "fake", 2},
        MemoryCase{"lenet_deferred_on_3_fake", testing::small_lenet(), "fake", 3, false, DType::f32, {2, 1}},
        MemoryCase{"dag_on_2_fake", testing::small_dag(), "fake", 2},
        MemoryCase{"dag_by_loops", testing::small_dag(), "cpu", 2, true},
        MemoryCase{"dag_bf16", testing::small_dag(), "cpu", 1, false, DType::bf16},
        MemoryCase{"lenet_bf16_on_2_fake", testing::small_lenet(), "fake", 2, false, DType::bf16},
        MemoryCase{"dag_split_on_2", testing::small_dag(), "cpu", 2, false, DType::f32, {}, 2},
        MemoryCase{"lenet_split_on_6_fake", testing::small_lenet(), "fake", 6, false, DType::f32, {}, 3},
        MemoryCase{"batch_norm_split_on_4_fake", testing::small_batch_norm(), "fake", 4, false, DType::f32, {}, 2},
        MemoryCase{"batch_norm_split_on_4", testing::small_batch_norm(), "cpu", 4, false, DType::f32, {}, 2},
        MemoryCase{"lenet_again", testing::small_lenet(), "cpu", 1, false, DType::f32, {}, 1, true},
        MemoryCase{"dag_again", testing::small_dag(), "cpu", 1, false, DType::f32, {}, 1, true},
        MemoryCase{"dag_again_bf16_on_3_fake", testing::small_dag(), "fake", 3, false, DType::bf16, {}, 1, true},
        MemoryCase{"batch_norm_again_on_2", testing::small_batch_norm(), "cpu", 2, false, DType::f32, {}, 1, true},
        MemoryCase{"lenet_again_split_on_2_fake", testing::small_lenet(), "fake", 2, false, DType::f32, {}, 2, true},
        MemoryCase{"dag_again_split_on_4", testing::small_dag(), "cpu", 4, false, DType::f32, {}, 2, true},
        MemoryCase{"mlp_on_2", testing::small_mlp(), "cpu", 2}),
    [](const auto& test) { return test.param.name; });

TEST(Memory, the_arena_of_a_family_is_that_of_its_largest_plan) {
  SmallTraining training;
  training.network = testing::small_lenet();
  SmallTrainer trainer(training);
  const LocalRunner& runner = trainer.bind({trainer.plan(7), trainer.plan(24), trainer.plan(24, PlanMode::evaluate)});
  std::size_t largest = 0;
  for (int plan = 0; plan < 3; ++plan) largest = std::max(largest, runner.bound(plan).memory().use[0].peak);
  EXPECT_EQ(runner.use()[0].arena_bytes, largest);
  EXPECT_EQ(runner.arena(0).size(), largest);
  EXPECT_EQ(runner.use()[0].memory.peak, runner.bound(1).memory().use[0].peak);
  EXPECT_LT(runner.bound(0).memory().use[0].peak, largest);
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Memory, the_process_grows_by_what_was_planned) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory grows too";
#endif
  SmallTraining training;
  training.shards = 0;
  training.batch = training.last_rows = 16;
  for (const char* kind : {"cpu", "fake"}) {
    training.devices = device_list(kind, 2);
    training.topology = std::string(kind) == "cpu" ? ExchangeTopology::shared : ExchangeTopology::direct;
    training.network = testing::small_mlp();
    testing::train(training);  // what the libraries take once
    training.network = {{2048}, {testing::fully_connected("wide", 8192), testing::fully_connected("out", 10)}, {}};
    SmallTrainer trainer(training);
    const std::size_t before = resident_bytes();
    const LocalRunner& runner = trainer.bind({trainer.plan(training.batch)});
    for (int step = 0; step < 2; ++step) trainer.run(0, step);
    const auto grown = static_cast<double>(resident_bytes() - before);
    double planned = 0;
    for (const DeviceUse& use : runner.use()) planned += static_cast<double>(use.memory.peak);
    EXPECT_GT(planned, 130e6) << kind;
    EXPECT_NEAR(grown, planned, 0.05 * planned) << kind;
    RecordProperty(std::string(kind) + "_planned", std::to_string(planned));
    RecordProperty(std::string(kind) + "_grown", std::to_string(grown));
  }
}

}  // namespace
}  // namespace hadal
