// Hadal gives PyTorch's losses, step by step, from the same parameters and samples. Long: runs with HADAL_LONG_TESTS=1,
// where python3-torch (and data/mnist) are.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "base/file.h"
#include "data/dataset.h"
#include "testing/temporary_folder.h"
#include "train/bench.h"
#include "train/trainer.h"

namespace hadal {
namespace {

const std::string kSource = HADAL_SOURCE_DIR;
const std::string kMnist = kSource + "/data/mnist/train-";
const std::string kPython = "/usr/bin/python3";
constexpr double kLossTolerance = 1e-4;

// What the test needs and is not here, or "".
std::string missing() {
#ifdef HADAL_SANITIZED
  return "a build without sanitizers (kernels are oneDNN's, and the test takes minutes)";
#endif
  if (std::getenv("HADAL_LONG_TESTS") == nullptr) return "HADAL_LONG_TESTS=1 (the test takes minutes)";
  for (const std::string& path : {kMnist + "images-idx3-ubyte", kMnist + "labels-idx1-ubyte"}) {
    if (!std::filesystem::exists(path)) return path + " (tools/fetch_mnist gets it)";
  }
  if (std::system((kPython + " -c 'import torch, numpy' 2>/dev/null").c_str()) != 0) return "python3-torch";
  return "";
}

// The same steps here and in PyTorch.
class Curves {
 public:
  Curves(const JobSpec& job, int steps) : job_(job), steps_(steps) {
    Trainer trainer(job);
    Values parameters;
    for (std::size_t p = 0; p < trainer.network().parameters.size(); ++p) {
      parameters.push_back(trainer.engine().runner().read_parameter(static_cast<int>(p)));
    }
    save_model(model_, job.network, trainer.network(), parameters);
    write_file(folder_.path("job.json"), identity(job));
    write_batches(trainer.network().input);
    for (int step = 0; step < steps; ++step) here_.push_back(trainer.run_steps(1).loss());
  }

  const std::vector<double>& here() const { return here_; }

  std::vector<double> of_pytorch(bool in_double) const {
    const std::string command = kPython + " " + kSource + "/tools/network_losses.py " + model_ + " " +
                                folder_.path("job.json") + " " + batches_ + (in_double ? " --double" : "");
    std::FILE* output = popen(command.c_str(), "r");
    std::vector<double> losses;
    for (double loss = 0; output != nullptr && std::fscanf(output, "%lf", &loss) == 1;) losses.push_back(loss);
    EXPECT_TRUE(output != nullptr && pclose(output) == 0) << command;
    return losses;
  }

 private:
  void write_batches(const Shape& input) const {
    const auto data = make_dataset(job_.data.train, input, job_.seed, Split::train);
    BatchLoaderOptions options;
    options.batch = job_.data.batch;
    options.seed = job_.seed;
    options.order = job_.data.order;
    options.epochs = steps_;
    BatchLoader loader(*data, options);
    std::ofstream file(batches_, std::ios::binary);
    for (int step = 0; step < steps_; ++step) {
      const auto batch = loader.next();
      const auto rows = static_cast<std::int32_t>(batch->rows());
      file.write(reinterpret_cast<const char*>(&rows), sizeof rows);
      file.write(reinterpret_cast<const char*>(batch->data()),
                 static_cast<std::streamsize>(batch->samples().size_bytes() + batch->labels().size_bytes()));
    }
    EXPECT_TRUE(file.good());
  }

  JobSpec job_;
  int steps_;
  testing::TemporaryFolder folder_;
  std::string model_ = folder_.path("model.safetensors"), batches_ = folder_.path("batches");
  std::vector<double> here_;
};

double largest_relative_difference(const std::vector<double>& losses, const std::vector<double>& expected) {
  double largest = losses.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t step = 0; step < std::min(losses.size(), expected.size()); ++step) {
    largest = std::max(largest, std::abs(losses[step] - expected[step]) / expected[step]);
  }
  return largest;
}

// LeNet on MNIST. A difference of rounding may choose another element of a pooling window or the other side of a relu:
// of seed 6's 267,520 decisions of the first step, one has a margin of 6e-9 and falls otherwise in PyTorch's single
// precision than in its double, which moves a gradient by 7e-4; from there the curves part. So a curve stays within
// 1e-6 of double precision, or leaves it at a step that rounding picks, and PyTorch has that with itself. No seed is
// chosen: of eight, Hadal must follow PyTorch in double precision on as many as PyTorch in single precision does.
struct Lenet {
  double rate = 0;
  int steps = 0;
};

class LenetAgainstPyTorch : public ::testing::TestWithParam<Lenet> {};

TEST_P(LenetAgainstPyTorch, follows_double_precision_as_often_as_pytorch_does) {
  if (const std::string what = missing(); !what.empty()) GTEST_SKIP() << "needs " << what;
  int hadal = 0, pytorch = 0;
  for (int seed = 1; seed <= 8; ++seed) {
    JobSpec job = load_job(kSource + "/examples/mnist_lenet.yaml", {{"data.order", "sequential"}});
    job.data.train = IdxData{kMnist + "images-idx3-ubyte", kMnist + "labels-idx1-ubyte", {}};
    job.data.test.reset();
    job.seed = static_cast<std::uint64_t>(seed);
    job.solver.rule.rate = ConstantRate{GetParam().rate};
    job.parallel.devices = {"cpu:0", "cpu:1"};
    const Curves curves(job, GetParam().steps);
    const std::vector<double> single = curves.of_pytorch(false), exact = curves.of_pytorch(true);
    const double our_difference = largest_relative_difference(curves.here(), exact);
    const double their_difference = largest_relative_difference(single, exact);
    hadal += our_difference <= kLossTolerance;
    pytorch += their_difference <= kLossTolerance;
    std::printf("seed %d: from double precision Hadal %.1e, PyTorch %.1e; from each other %.1e\n", seed, our_difference,
                their_difference, largest_relative_difference(curves.here(), single));
  }
  EXPECT_GE(hadal, pytorch);
  EXPECT_GE(hadal, 1);
}

INSTANTIATE_TEST_SUITE_P(rates, LenetAgainstPyTorch, ::testing::Values(Lenet{0.05, 20}, Lenet{0.002, 100}),
                         [](const auto& test) { return std::to_string(test.param.steps) + "_steps"; });

// The networks of `hadal bench train`, which is the loop of `hadal train`, at their rates, without dropout.
class BenchAgainstPyTorch : public ::testing::TestWithParam<std::string> {};

TEST_P(BenchAgainstPyTorch, gives_its_losses_over_20_steps) {
  if (const std::string what = missing(); !what.empty()) GTEST_SKIP() << "needs " << what;
  const auto& networks = bench_networks();
  const auto network =
      std::find_if(networks.begin(), networks.end(), [](const auto& n) { return n.name == GetParam(); });
  JobSpec job = parse_job(network->job, network->name, {});
  for (LayerSpec& layer : job.network.layers) {
    if (auto* dropout = std::get_if<DropoutOptions>(&layer.options)) dropout->p = 0;
  }
  const Curves curves(job, 20);
  const double difference = largest_relative_difference(curves.here(), curves.of_pytorch(false));
  std::printf("%s: %.1e\n", GetParam().c_str(), difference);
  EXPECT_LE(difference, kLossTolerance);
}

INSTANTIATE_TEST_SUITE_P(all, BenchAgainstPyTorch,
                         ::testing::Values("mlp", "alexnet", "lenet", "vgg", "wide_mlp", "residual"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace hadal
