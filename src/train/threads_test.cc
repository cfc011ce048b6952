// More threads to a device give nearly the same parameters.

#include <gtest/gtest.h>

#include <cmath>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTraining;

TEST(Threads, two_to_a_device_give_nearly_what_one_gives) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not see how OpenMP's runtime orders its threads";
#endif
  for (const NetworkSpec& network :
       {testing::small_lenet(), testing::small_dag(), testing::small_mlp(), testing::small_batch_norm()}) {
    for (const int devices : {1, 2}) {
      SmallTraining one;
      one.network = network;
      one.shards = 0;
      one.batch = 256;  // enough to do for two
      one.last_rows = 200;
      one.steps = 4;
      one.devices = testing::device_list("cpu", devices);
      SmallTraining two = one;
      two.threads = 2;
      const auto expected = testing::train(one), actual = testing::train(two);
      for (std::size_t p = 0; p < expected.size(); ++p) {
        double difference = 0, size = 0;
        for (std::size_t i = 0; i < expected[p].size(); ++i) {
          difference += std::abs(actual[p][i] - expected[p][i]);
          size += std::abs(expected[p][i]);
        }
        EXPECT_LE(difference, 1e-5 * size + 1e-7) << devices << " devices, parameter " << p;
      }
    }
  }
}

}  // namespace
}  // namespace hadal
