// LeNet on MNIST gives PyTorch's losses, step by step, from the same parameters and samples. Long: runs with
// HADAL_LONG_TESTS=1, where python3-torch and data/mnist are.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "testing/temporary_folder.h"
#include "train/trainer.h"

namespace hadal {
namespace {

const std::string kSource = HADAL_SOURCE_DIR;
const std::string kImages = kSource + "/data/mnist/train-images-idx3-ubyte";
const std::string kLabels = kSource + "/data/mnist/train-labels-idx1-ubyte";
const std::string kPython = "/usr/bin/python3";

struct Curve {
  int seed = 1;  // of the parameters
  double rate = 0;
  int steps = 0;
};

// What the test needs and is not here, or "".
std::string missing() {
  if (std::getenv("HADAL_LONG_TESTS") == nullptr) return "HADAL_LONG_TESTS=1 (the test takes a minute)";
  for (const std::string& path : {kImages, kLabels}) {
    if (!std::filesystem::exists(path)) return path + " (tools/fetch_mnist gets it)";
  }
  if (std::system((kPython + " -c 'import torch, numpy' 2>/dev/null").c_str()) != 0) return "python3-torch";
  return "";
}

JobSpec lenet(const Curve& curve) {
  JobSpec job = load_job(kSource + "/examples/mnist_lenet.yaml", {{"data.order", "sequential"}});
  job.data.train = IdxData{kImages, kLabels, {}};
  job.data.test.reset();
  job.seed = static_cast<std::uint64_t>(curve.seed);
  job.solver.rule.rate = ConstantRate{curve.rate};
  job.parallel.devices = {"cpu:0", "cpu:1"};
  return job;
}

std::vector<double> losses_here(const Curve& curve, const std::string& model_path) {
  const JobSpec job = lenet(curve);
  Trainer trainer(job);
  Values parameters;
  for (std::size_t p = 0; p < trainer.network().parameters.size(); ++p) {
    parameters.push_back(trainer.engine().runner().read_parameter(static_cast<int>(p)));
  }
  save_model(model_path, job.network, trainer.network(), parameters);
  std::vector<double> losses;
  for (int step = 0; step < curve.steps; ++step) losses.push_back(trainer.run_steps(1).loss());
  return losses;
}

std::vector<double> losses_of_pytorch(const Curve& curve, const std::string& model_path, bool in_double) {
  const std::string command = kPython + " " + kSource + "/tools/lenet_losses.py " + model_path + " " + kImages + " " +
                              kLabels + " --batch 64 --rate " + std::to_string(curve.rate) + " --steps " +
                              std::to_string(curve.steps) + (in_double ? " --double" : "");
  std::FILE* output = popen(command.c_str(), "r");
  std::vector<double> losses;
  for (double loss = 0; output != nullptr && std::fscanf(output, "%lf", &loss) == 1;) losses.push_back(loss);
  EXPECT_TRUE(output != nullptr && pclose(output) == 0) << command;
  return losses;
}

double largest_relative_difference(const std::vector<double>& losses, const std::vector<double>& expected) {
  double largest = losses.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t step = 0; step < std::min(losses.size(), expected.size()); ++step) {
    largest = std::max(largest, std::abs(losses[step] - expected[step]) / expected[step]);
  }
  return largest;
}

constexpr double kTolerance = 1e-4;

TEST(LenetAgainstPyTorch, gives_the_same_losses_over_100_steps_at_a_small_rate) {
  if (const std::string what = missing(); !what.empty()) GTEST_SKIP() << "needs " << what;
  const testing::TemporaryFolder folder;
  const std::string model = folder.path("model.safetensors");
  const Curve curve{1, 0.002, 100};
  const std::vector<double> ours = losses_here(curve, model);
  EXPECT_LE(largest_relative_difference(ours, losses_of_pytorch(curve, model, false)), kTolerance);
}

// At the demo's rate a difference of rounding may choose another element of a pooling window, and grows from there: 20
// steps in single precision end within 1e-6 of those in double, or some 1e-4 to 1e-2 away, as the seed has it. PyTorch
// has that with itself. So no seed is chosen: of eight, Hadal must follow PyTorch in double precision on as many as
// PyTorch in single precision does.
TEST(LenetAgainstPyTorch, follows_double_precision_as_often_as_pytorch_does_at_the_demos_rate) {
  if (const std::string what = missing(); !what.empty()) GTEST_SKIP() << "needs " << what;
  int hadal = 0, pytorch = 0;
  for (int seed = 1; seed <= 8; ++seed) {
    const testing::TemporaryFolder folder;
    const std::string model = folder.path("model.safetensors");
    const Curve curve{seed, 0.05, 20};
    const std::vector<double> ours = losses_here(curve, model);
    const std::vector<double> single = losses_of_pytorch(curve, model, false);
    const std::vector<double> exact = losses_of_pytorch(curve, model, true);
    const double our_difference = largest_relative_difference(ours, exact);
    const double their_difference = largest_relative_difference(single, exact);
    hadal += our_difference <= kTolerance;
    pytorch += their_difference <= kTolerance;
    std::printf("seed %d: from double precision Hadal %.1e, PyTorch %.1e; from each other %.1e\n", seed, our_difference,
                their_difference, largest_relative_difference(ours, single));
  }
  EXPECT_GE(hadal, pytorch);
  EXPECT_GE(hadal, 1);
}

}  // namespace
}  // namespace hadal
