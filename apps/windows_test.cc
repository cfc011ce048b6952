// Convolutions and poolings whose windows are not square, as a user trains and uses them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/workplace.h"

namespace hadal {
namespace {

using testing::CommandResult;
using ::testing::HasSubstr;
using testing::SmallWorkplace;

constexpr const char* kNotSquare = R"(name: bands
seed: 3
network:
  input: [1, 12, 12]
  layers:
    - conv: {name: stem, out: 12, kernel: [3, 5], stride: [1, 2], pad: [1, 0]}
    - relu
    - max_pool: {kernel: [3, 1]}
    - conv: {name: rows, out: 16, kernel: [2, 1], dilation: [2, 1]}
    - relu
    - average_pool: {kernel: [1, 2], stride: 1, pad: [0, 1]}
    - fully_connected: {name: logits, out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 12
solver:
  epochs: 2
  rule: {sgd: {rate: 0.05, momentum: 0.9}}
)";

class WindowsThatAreNotSquare : public ::testing::Test {
 protected:
  WindowsThatAreNotSquare() { place_.write("job.yaml", kNotSquare); }

  void train(const std::string& out, const std::string& devices, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "job.yaml", "--out", out, "--devices", devices, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = place_.hadal(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  SmallWorkplace place_;
};

TEST_F(WindowsThatAreNotSquare, give_one_model_on_any_devices_under_reproducible) {
  for (const std::string precision : {"fp32", "bf16"}) {
    const std::vector<std::string> set{"--set", "reproducible=true", "--set", "precision=" + precision};
    train(precision + "one", "cpu:0", set);
    const std::string sum = place_.sha256(precision + "one");
    train(precision + "two", "cpu:0,cpu:1", set);
    EXPECT_EQ(place_.sha256(precision + "two"), sum);
    train(precision + "fake", "fake:0,fake:1,fake:2", set);
    EXPECT_EQ(place_.sha256(precision + "fake"), sum);
    if (precision == "bf16") continue;  // not of split models
    std::vector<std::string> split = set;
    split.insert(split.end(), {"--split", "2"});
    train("split", "fake:0,fake:1", split);
    EXPECT_EQ(place_.sha256("split"), sum);
  }
}

TEST_F(WindowsThatAreNotSquare, train_alike_on_both_backends) {
  train("cpu", "cpu:0", {});
  train("reference", "cpu:0", {"--set", "backend=reference"});
  const double loss = place_.summary("cpu")["test"]["loss"];
  EXPECT_LT(loss, 2);
  EXPECT_NEAR(place_.summary("reference")["test"]["loss"], loss, 1e-3 * loss);
}

TEST_F(WindowsThatAreNotSquare, are_read_back_from_the_model) {
  train("run", "cpu:0", {});
  const CommandResult evaluated =
      place_.hadal({"eval", "run/model.safetensors", "--json", "--data", "test-images-idx3-ubyte"});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
  EXPECT_NEAR(evaluated.json()["loss"], place_.summary("run")["test"]["loss"], 1e-5);
  const CommandResult predicted = place_.hadal({"predict", "run/model.safetensors", "test-images-idx3-ubyte:0-3"});
  EXPECT_EQ(predicted.exit_code, 0) << predicted.err;
  EXPECT_THAT(place_.read("run/job.yaml"), HasSubstr("kernel: [3, 5], stride: [1, 2], pad: [1, 0]"));
}

TEST_F(WindowsThatAreNotSquare, are_refused_by_the_side_that_does_not_fit) {
  const CommandResult result = place_.hadal({"plan", "job.yaml", "--set", "network.layers.3.conv.kernel=[2, 7]"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("rows: kernel width 7 is larger than the input's 4; the input is [12, 4, 4]"));
}

}  // namespace
}  // namespace hadal
