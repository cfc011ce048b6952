// Whole networks against what PyTorch computed (tools/make_pytorch_fixtures.py): the loss, the gradient's norm and
// every parameter, after each of five updates.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "testing/fixtures.h"
#include "train/engine.h"

namespace hadal {
namespace {

using nlohmann::json;

constexpr double kTolerance = 3e-6;  // PyTorch computed in double precision, we in single

struct Setup {
  std::string name, backend;
  std::vector<std::string> devices;
  std::string content = "auto";
};

class PyTorchTraining : public ::testing::TestWithParam<Setup> {
 protected:
  // The fixture's job with what it leaves out.
  JobSpec job_of(const json& which) const {
    json job = which["job"];
    const std::int64_t classes = which["shapes"][last_bias(which)][0];
    job["name"] = "fixture";
    job["data"]["train"]["synthetic"] = {{"samples", which["batch"]}, {"classes", classes}};
    job["data"]["batch"] = which["batch"];
    job["parallel"]["devices"] = GetParam().devices;
    job["exchange"]["content"] = GetParam().content;
    job["backend"] = GetParam().backend;
    JobSpec spec = parse_job(job.dump(), which["name"]);
    spec.parallel.threads = 1;
    return spec;
  }

  static std::string last_bias(const json& which) {
    std::string last;
    for (const auto& [name, shape] : which["shapes"].items()) {
      if (name.starts_with("fully_connected") && name.ends_with(".bias")) last = std::max(last, name);
    }
    return last;
  }
};

std::vector<std::byte> staged(const json& step) {
  const auto inputs = step["inputs"].get<std::vector<float>>();
  const auto labels = step["labels"].get<std::vector<std::int32_t>>();
  std::vector<std::byte> batch(inputs.size() * 4 + labels.size() * 4);
  std::memcpy(batch.data(), inputs.data(), inputs.size() * 4);
  std::memcpy(batch.data() + inputs.size() * 4, labels.data(), labels.size() * 4);
  return batch;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], kTolerance * std::max(1.0, std::abs(expected[i]))) << "element " << i;
  }
}

void expect_same_training(const JobSpec& job, const json& which) {
  const Network network = build_network(job.network);
  const PlanKey key{PlanMode::train, job.data.batch};
  Engine engine(job, network, {key});
  ASSERT_EQ(network.parameters.size(), which["initial"].size());
  for (std::size_t p = 0; p < network.parameters.size(); ++p) {
    const Parameter& parameter = network.parameters[p];
    ASSERT_EQ(parameter.shape, which["shapes"].at(parameter.name).get<Shape>());
    engine.runner().write_parameter(static_cast<int>(p), which["initial"][parameter.name].get<std::vector<float>>());
  }
  ASSERT_EQ(which["steps"].size(), 5u);
  for (std::size_t s = 0; s < which["steps"].size(); ++s) {
    SCOPED_TRACE("step " + std::to_string(s));
    const json& step = which["steps"][s];
    const BatchResult result = engine.run(key, staged(step).data(), s, rate_at(job.solver.rule.rate, 0));
    EXPECT_NEAR(result.loss(), step["loss"].get<double>(), kTolerance);
    if (job.solver.clip_norm) {
      EXPECT_NEAR(result.gradient_norm, step["norm"].get<double>(), kTolerance);
    }
    engine.settle();
    for (std::size_t p = 0; p < network.parameters.size(); ++p) {
      const std::string& name = network.parameters[p].name;
      SCOPED_TRACE(name);
      expect_near(engine.runner().read_parameter(static_cast<int>(p)), step["parameters"].at(name));
    }
  }
}

TEST_P(PyTorchTraining, losses_norms_and_parameters_are_the_same) {
  const json trainings = testing::read_fixture("pytorch_training.json").at("trainings");
  ASSERT_EQ(trainings.size(), 4u);
  for (const json& which : trainings) {
    SCOPED_TRACE(which["name"].get<std::string>());
    JobSpec job = job_of(which);
    expect_same_training(job, which);
    if (job.solver.clip_norm) continue;
    job.solver.clip_norm = 1e6;  // tells the norm, and changes nothing
    expect_same_training(job, which);
  }
}

INSTANTIATE_TEST_SUITE_P(
    all, PyTorchTraining,
    ::testing::Values(Setup{"reference", "reference", {"cpu:0"}},
                      Setup{"reference_on_two", "reference", {"cpu:0", "cpu:1"}},
                      Setup{"reference_on_two_fake", "reference", {"fake:0", "fake:1"}}, Setup{"cpu", "cpu", {"cpu:0"}},
                      Setup{"cpu_on_two", "cpu", {"cpu:0", "cpu:1"}},
                      Setup{"cpu_on_two_fake", "cpu", {"fake:0", "fake:1"}},
                      Setup{"cpu_on_two_fake_with_factors", "cpu", {"fake:0", "fake:1"}, "factors"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal
