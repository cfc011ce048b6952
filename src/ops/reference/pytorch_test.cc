// Every operator against what PyTorch computed (tools/make_pytorch_fixtures.py).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "ops/reference/named_arrays.h"
#include "testing/fixtures.h"
#include "testing/shared_data.h"

namespace hadal::reference {
namespace {

using Fp32Arrays = NamedArrays<float>;
using nlohmann::json;

// The list `name` of a fixture, by value: a loop over a part of a temporary would outlive it.
json cases_of(const std::string& file, const std::string& name) {
  json cases = testing::read_fixture(file).at(name);
  EXPECT_FALSE(cases.empty());
  return cases;
}

Rows rows_of(const json& which) { return {.first = 0, .count = which["batch"], .units = {}}; }

// What a case's forward pass and its gradient read.
Fp32Arrays inputs_of(const json& which, std::initializer_list<const char*> names) {
  Fp32Arrays arrays;
  for (const char* name : names) arrays[name] = which["arrays"][name].get<std::vector<float>>();
  return arrays;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], tolerance * std::max(1.0, std::abs(expected[i]))) << "element " << i;
  }
}

void expect_results(const json& which, Fp32Arrays& arrays, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    SCOPED_TRACE(which["name"].get<std::string>() + ", " + name);
    expect_near(arrays[name], which["arrays"][name], 1e-6);
  }
}

TEST(PyTorch, conv) {
  for (const json& which : cases_of("pytorch_ops.json", "conv")) {
    const ConvShape shape{.channels = which["channels"],
                          .height = which["height"],
                          .width = which["width"],
                          .out = which["out"],
                          .kernel = which["kernel"].get<std::int64_t>(),
                          .stride = which["stride"].get<std::int64_t>(),
                          .pad = which["pad"].get<std::int64_t>(),
                          .groups = which["groups"]};
    Fp32Arrays arrays = inputs_of(which, {"source", "weight", "bias", "diff_destination"});
    arrays.run(ConvForward{shape, rows_of(which)});
    arrays.run(ConvBackwardData{shape, rows_of(which)});
    arrays.run(ConvBackwardWeights{shape, rows_of(which)});
    expect_results(which, arrays, {"destination", "diff_source", "diff_weight", "diff_bias"});
  }
}

TEST(PyTorch, pool) {
  for (const json& which : cases_of("pytorch_ops.json", "pool")) {
    const PoolShape shape{.kind = which["kind"] == "max" ? PoolKind::max : PoolKind::average,
                          .channels = which["channels"],
                          .height = which["height"],
                          .width = which["width"],
                          .kernel = which["kernel"].get<std::int64_t>(),
                          .stride = which["stride"].get<std::int64_t>(),
                          .pad = which["pad"].get<std::int64_t>(),
                          .out_height = which["out_height"],
                          .out_width = which["out_width"]};
    Fp32Arrays arrays = inputs_of(which, {"source", "diff_destination"});
    arrays.run(PoolForward{shape, rows_of(which), Layout::canonical, Layout::canonical, true});
    arrays.run(PoolBackward{shape, rows_of(which)});
    expect_results(which, arrays, {"destination", "diff_source"});
  }
}

TEST(PyTorch, lrn) {
  for (const json& which : cases_of("pytorch_ops.json", "lrn")) {
    const LrnShape shape{
        which["channels"], which["pixels"], {which["size"], which["alpha"], which["beta"], which["k"]}};
    Fp32Arrays arrays = inputs_of(which, {"source", "diff_destination"});
    arrays.run(LrnForward{shape, rows_of(which)});
    arrays.run(LrnBackward{shape, rows_of(which)});
    expect_results(which, arrays, {"destination", "diff_source"});
  }
}

TEST(PyTorch, activation) {
  const std::map<std::string, ActivationKind> kinds = {
      {"relu", ActivationKind::relu}, {"sigmoid", ActivationKind::sigmoid}, {"tanh", ActivationKind::tanh}};
  for (const json& which : cases_of("pytorch_ops.json", "activation")) {
    const ActivationKind kind = kinds.at(which["kind"]);
    Fp32Arrays arrays = inputs_of(which, {"source", "diff_destination"});
    arrays.run(ActivationForward{kind, which["elements"], rows_of(which)});
    arrays.run(ActivationBackward{kind, which["elements"], rows_of(which)});
    expect_results(which, arrays, {"destination", "diff_source"});
  }
}

TEST(PyTorch, fully_connected) {
  for (const json& which : cases_of("pytorch_ops.json", "fully_connected")) {
    const std::int64_t in = which["inputs"], out = which["outputs"];
    Fp32Arrays arrays = inputs_of(which, {"source", "weight", "bias", "diff_destination"});
    arrays.run(FullyConnectedForward{in, out, rows_of(which)});
    arrays.run(FullyConnectedBackwardData{in, out, rows_of(which)});
    arrays.run(FullyConnectedBackwardWeights{in, out, 0, out, {}, rows_of(which)});
    expect_results(which, arrays, {"destination", "diff_source", "diff_weight", "diff_bias"});
  }
}

TEST(PyTorch, cross_entropy) {
  for (const json& which : cases_of("pytorch_ops.json", "cross_entropy")) {
    Fp32Arrays arrays = inputs_of(which, {"logits"});
    arrays.integers["labels"] = which["arrays"]["labels"].get<std::vector<std::int32_t>>();
    arrays.run(SoftmaxCrossEntropy{which["classes"], rows_of(which), which["batch"], true});
    arrays.run(Softmax{which["classes"], rows_of(which)});
    expect_results(which, arrays, {"loss", "diff_logits", "probabilities"});
  }
}

// PyTorch's gradients through SquaredNorms, ClipScale and Update, five times.
TEST(PyTorch, five_updates) {
  for (const json& which : cases_of("pytorch_training.json", "trainings")) {
    SCOPED_TRACE(which["name"].get<std::string>());
    const json& solver = which["job"]["solver"];
    const json& sgd = solver["rule"]["sgd"];
    const bool clipped = solver["clip_norm"] != "none";
    StepValues values;
    values.rate = sgd["rate"];

    std::map<std::string, Fp32Arrays> parameters;
    for (const auto& [name, initial] : which["initial"].items()) {
      parameters[name]["weights"] = initial.get<std::vector<float>>();
      parameters[name]["momentum"].resize(initial.size());
    }
    for (const json& step : which["steps"]) {
      Fp32Arrays clip;
      SquaredNorms norms;
      for (const auto& [name, gradient] : step["gradients"].items()) {
        norms.pieces.push_back(static_cast<std::int64_t>(gradient.size()));
        for (const float element : gradient.get<std::vector<float>>()) clip["gradient"].push_back(element);
      }
      clip.run(norms);
      clip.run(ClipScale{static_cast<std::int64_t>(norms.pieces.size()), clipped ? double{solver["clip_norm"]} : 1e9});
      EXPECT_NEAR(clip["norm"][0], step["norm"].get<double>(), 1e-6);

      for (const auto& [name, gradient] : step["gradients"].items()) {
        Fp32Arrays& arrays = parameters[name];
        arrays["part"] = gradient.get<std::vector<float>>();
        arrays["scale"] = clip["scale"];
        arrays.run(Update{1, static_cast<std::int64_t>(gradient.size()),
                          UpdateRule::sgd(sgd["momentum"], sgd["weight_decay"]), clipped},
                   values);
        SCOPED_TRACE(name);
        expect_near(arrays["weights"], step["parameters"][name], 1e-6);
      }
    }
  }
}

UpdateRule rule_of(const json& which) {
  const std::string kind = which["kind"];
  UpdateRule rule;
  for (const RuleKind k :
       {RuleKind::sgd, RuleKind::nesterov, RuleKind::adagrad, RuleKind::rmsprop, RuleKind::adam, RuleKind::adamw}) {
    if (kind == to_string(k)) rule.kind = k;
  }
  EXPECT_EQ(kind, to_string(rule.kind));
  rule.momentum = which.value("momentum", 0.0);
  rule.weight_decay = which.value("weight_decay", 0.0);
  rule.beta1 = which.value("beta1", 0.0);
  rule.beta2 = which.value("beta2", 0.0);
  rule.epsilon = which.value("epsilon", 0.0);
  return rule;
}

TEST(PyTorch, rules) {
  for (const json& which : cases_of("pytorch_rules.json", "rules")) {
    SCOPED_TRACE(which["name"].get<std::string>());
    const UpdateRule rule = rule_of(which);
    StepValues values;
    values.rate = which["rate"];
    Fp32Arrays arrays;
    arrays["weights"] = which["initial"].get<std::vector<float>>();
    for (const std::string& state : rule.states()) arrays[state].resize(arrays["weights"].size());
    for (const json& step : which["steps"]) {
      arrays["part"] = step["gradient"].get<std::vector<float>>();
      arrays.run(Update{1, static_cast<std::int64_t>(arrays["part"].size()), rule}, values);
      expect_near(arrays["weights"], step["weights"], 2e-6);
      ++values.step;
    }
  }
}

// PyTorch's own golden values (test/cpp/api/optim_baseline.h): Linear(2, 3), sigmoid, Linear(3, 1), sigmoid on three
// samples; the loss is the sum of the outputs. Parameters: w1 [3, 2], b1 [3], w2 [3], b2.
std::vector<double> baseline_gradient(const std::vector<double>& w) {
  const double inputs[3][2] = {{0.1, 0.2}, {0.3, 0.4}, {0.5, 0.6}};
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::vector<double> gradient(13);
  for (const auto& x : inputs) {
    double hidden[3], sum = w[12];
    for (int i = 0; i < 3; ++i) {
      hidden[i] = sigmoid(w[2 * i] * x[0] + w[2 * i + 1] * x[1] + w[6 + i]);
      sum += w[9 + i] * hidden[i];
    }
    const double diff = sigmoid(sum) * (1 - sigmoid(sum));
    gradient[12] += diff;
    for (int i = 0; i < 3; ++i) {
      gradient[9 + i] += diff * hidden[i];
      const double diff_hidden = diff * w[9 + i] * hidden[i] * (1 - hidden[i]);
      gradient[6 + i] += diff_hidden;
      for (int j = 0; j < 2; ++j) gradient[2 * i + j] += diff_hidden * x[j];
    }
  }
  return gradient;
}

TEST(PyTorch, optimizers_over_1000_steps) {
  const auto file = testing::shared_folder() / "data/fixture_pytorch_optim/golden.csv";
  std::ifstream golden(file);
  if (!golden) GTEST_SKIP() << file.string() << " is not here";
  struct Optimizer {
    UpdateRule rule;
    double rate, rate_decay = 0;
  };
  const std::map<std::string, Optimizer> optimizers = {
      {"Adam", {{.kind = RuleKind::adam, .weight_decay = 1e-6, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}, 1}},
      {"Adagrad", {{.kind = RuleKind::adagrad, .weight_decay = 1e-6, .epsilon = 1e-10}, 1, 1e-3}},
      {"RMSprop",
       {{.kind = RuleKind::rmsprop, .momentum = 0.9, .weight_decay = 1e-6, .beta2 = 0.99, .epsilon = 1e-8}, 0.1}},
      {"SGD", {UpdateRule::sgd(0.9, 1e-6), 0.1}}};
  std::string line;
  std::getline(golden, line);  // the names of the columns
  std::map<std::string, std::map<int, std::vector<double>>> expected;
  int values_read = 0;
  while (std::getline(golden, line)) {
    std::istringstream fields(line);
    std::string name, field;
    std::getline(fields, name, ',');
    std::getline(fields, field, ',');
    std::vector<double>& values = expected[name][std::stoi(field)];
    for (; std::getline(fields, field, ','); ++values_read) values.push_back(std::stod(field));
  }
  EXPECT_EQ(values_read, 208);
  for (const auto& [name, by_step] : expected) {
    const Optimizer& optimizer = optimizers.at(name);
    NamedArrays<double> arrays;
    arrays["weights"] = {-0.2109, -0.4976, -0.1413, -0.3420, -0.2524, 0.6976, -0.1085,
                         -0.2979, 0.6892,  -0.0508, -0.3941, -0.2843, -0.0711};
    for (const std::string& state : optimizer.rule.states()) arrays[state].resize(13);
    StepValues values;
    for (int step = 0; step <= 1000; ++step) {
      values.step = static_cast<std::uint64_t>(step);
      values.rate = static_cast<float>(optimizer.rate / (1 + step * optimizer.rate_decay));
      arrays["part"] = baseline_gradient(arrays["weights"]);
      arrays.run(Update{1, 13, optimizer.rule}, values);
      if (!by_step.contains(step)) continue;
      for (std::size_t i = 0; i < 13; ++i) {
        const double value = by_step.at(step)[i];
        EXPECT_NEAR(arrays["weights"][i], value, 5e-4 + 1e-3 * std::abs(value))
            << name << ", step " << step << ", parameter " << i;
      }
    }
  }
}

}  // namespace
}  // namespace hadal::reference
