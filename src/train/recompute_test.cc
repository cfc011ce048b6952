// What backward computes again is what forward computed, to the bit: on any devices, kernels and streams that run late.

#include <gtest/gtest.h>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::device_list;
using testing::SmallTraining;

struct RecomputeCase {
  std::string name;
  NetworkSpec network;
};

class ComputesAgain : public ::testing::TestWithParam<RecomputeCase> {
 protected:
  // The parameters after all steps are the same without.
  static void expect_same_bits(SmallTraining training, const std::string& what) {
    const auto kept = testing::train(training);
    training.again = true;
    EXPECT_EQ(testing::train(training), kept) << what;
  }
};

TEST_P(ComputesAgain, the_same_bits) {
  for (const char* kind : {"cpu", "fake"}) {
    for (int devices = 1; devices <= 3; ++devices) {
      for (const std::int64_t shards : {0, 12}) {
        for (const DType precision : {DType::f32, DType::bf16}) {
          SmallTraining training;
          training.network = GetParam().network;
          training.devices = device_list(kind, devices);
          training.topology = kind == std::string("cpu") ? ExchangeTopology::shared : ExchangeTopology::direct;
          training.shards = shards;
          training.precision = precision;
          expect_same_bits(training, std::string(kind) + " x " + std::to_string(devices));
          if (shards > 0 || precision == DType::bf16) continue;
          training.pass_rows = 10;
          expect_same_bits(training, std::string(kind) + " x " + std::to_string(devices) + ", in passes");
          training.pass_rows = 0;
          training.reference = true;
          expect_same_bits(training, std::string(kind) + " x " + std::to_string(devices) + ", by loops");
        }
      }
    }
  }
}

TEST_P(ComputesAgain, the_same_bits_on_groups_with_late_streams) {
  for (const auto& [devices, split] : {std::pair{2, 2}, {4, 2}, {3, 3}}) {
    for (const int late : {-1, static_cast<int>(StreamKind::compute), static_cast<int>(StreamKind::transfer)}) {
      SmallTraining training;
      training.network = GetParam().network;
      training.devices = device_list("fake", devices);
      training.topology = ExchangeTopology::direct;
      training.shards = 0;
      training.split = split;
      training.late_stream = late;
      expect_same_bits(training, std::to_string(devices) + " in groups of " + std::to_string(split));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, ComputesAgain,
                         ::testing::Values(RecomputeCase{"lenet", testing::small_lenet()},
                                           RecomputeCase{"dag", testing::small_dag()},
                                           RecomputeCase{"batch_norm", testing::small_batch_norm()}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal
