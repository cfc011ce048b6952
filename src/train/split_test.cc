// A model that is split over the devices of a group trains as one device does.

#include <gtest/gtest.h>

#include <cmath>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::device_list;
using testing::SmallTraining;

struct Case {
  std::string name;
  NetworkSpec network;
  bool reference = false;
  DType precision = DType::f32;
  UpdateRule rule = UpdateRule::sgd(0.9, 5e-4);
};

class Split : public ::testing::TestWithParam<Case> {
 protected:
  SmallTraining training(int groups, int split, const std::string& kind = "fake") const {
    SmallTraining training;
    training.network = GetParam().network;
    training.reference = GetParam().reference;
    training.precision = GetParam().precision;
    training.rule = GetParam().rule;
    training.shards = 0;
    training.devices = device_list(kind, groups * split);
    training.split = split;
    training.topology = ExchangeTopology::direct;
    return training;
  }

  // In bf16 a sum in another order may round to the next number; and normalisation makes some gradients nothing but
  // rounding, so there all are compared together.
  void expect_near(const std::vector<std::vector<float>>& result, const std::string& what) {
    const bool bf16 = GetParam().precision == DType::bf16;
    double difference = 0, size = 0, change = 0;
    for (std::size_t p = 0; p < one_.size(); ++p) {
      if (!bf16) difference = size = 0;
      for (std::size_t i = 0; i < one_[p].size(); ++i) {
        difference += std::abs(result[p][i] - one_[p][i]);
        size += std::abs(one_[p][i]);
        change += std::abs(one_[p][i] - start_[p][i]);
      }
      if (!bf16) {
        EXPECT_LE(difference, 1e-5 * size + 1e-7) << what << ", parameter " << p;
      }
    }
    if (bf16) {
      EXPECT_LE(difference, 0.05 * change) << what;
    }
  }

  void SetUp() override {
    SmallTraining single = training(1, 1);
    one_ = testing::train(single);
    single.steps = 0;
    start_ = testing::train(single);
  }

  std::vector<std::vector<float>> one_, start_;
};

TEST_P(Split, models_train_as_whole_ones) {
  for (const char* kind : {"cpu", "fake"}) {
    for (const int groups : {1, 2, 3}) {
      for (const int split : {2, 3, 4}) {
        for (const auto content : {ExchangeContent::automatic, ExchangeContent::gradients, ExchangeContent::factors}) {
          SmallTraining many = training(groups, split, kind);
          many.content = content;
          expect_near(testing::train(many), std::to_string(groups) + " groups of " + std::to_string(split) + " " +
                                                kind + " devices, content " +
                                                std::to_string(static_cast<int>(content)));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, Split,
                         ::testing::Values(Case{"lenet", testing::small_lenet()}, Case{"mlp", testing::small_mlp()},
                                           Case{"lenet_on_reference", testing::small_lenet(), true},
                                           Case{"lenet_bf16", testing::small_lenet(), false, DType::bf16},
                                           Case{"dag", testing::small_dag()},
                                           Case{"dag_on_reference", testing::small_dag(), true},
                                           Case{"batch_norm", testing::small_batch_norm()},
                                           Case{"batch_norm_bf16", testing::small_batch_norm(), false, DType::bf16}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal
