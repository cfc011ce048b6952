// The gradient of every operator against finite differences, both in double precision. A new operator is a row.
//
// The loss is the sum of the results weighted with random numbers; these weights are the results' diffs.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "ops/reference/named_arrays.h"

namespace hadal::reference {
namespace {

using Fp64Arrays = NamedArrays<double>;

struct GradientCase {
  std::string name;
  Op forward;
  std::vector<Op> backward;  // empty: forward computes the gradient itself
};

std::vector<GradientCase> gradient_cases() {
  std::vector<GradientCase> cases;
  const std::pair<const char*, ConvShape> convs[] = {
      {"conv", {.channels = 3, .height = 4, .width = 5, .out = 2, .kernel = 3}},
      {"conv padded", {.channels = 2, .height = 4, .width = 3, .out = 3, .kernel = 3, .pad = 2}},
      {"conv stride", {.channels = 2, .height = 6, .width = 5, .out = 2, .kernel = 3, .stride = 2, .pad = 1}},
      {"conv stride > kernel", {.channels = 2, .height = 7, .width = 8, .out = 2, .kernel = 2, .stride = 3}},
      {"conv groups", {.channels = 4, .height = 4, .width = 3, .out = 6, .kernel = 2, .pad = 1, .groups = 2}},
      {"conv depthwise", {.channels = 3, .height = 4, .width = 4, .out = 3, .kernel = 3, .pad = 1, .groups = 3}},
      {"conv 1x1", {.channels = 3, .height = 3, .width = 2, .out = 4, .kernel = 1}},
      {"conv 3x2",
       {.channels = 2, .height = 5, .width = 6, .out = 3, .kernel = {3, 2}, .stride = {1, 2}, .pad = {2, 0}}},
      {"conv all columns", {.channels = 1, .height = 5, .width = 3, .out = 3, .kernel = {2, 3}, .stride = {2, 1}}},
      {"conv dilated", {.channels = 2, .height = 5, .width = 6, .out = 2, .kernel = 2, .pad = 1, .dilation = {2, 3}}},
      {"conv 1x3 dilated, stride 2, groups",
       {.channels = 4,
        .height = 2,
        .width = 7,
        .out = 2,
        .kernel = {1, 3},
        .stride = {1, 2},
        .pad = {0, 1},
        .groups = 2,
        .dilation = {1, 2}}},
  };
  const std::pair<const char*, PoolShape> pools[] = {
      {"pool", {PoolKind::max, 2, 4, 6, 2, 2, 0, 2, 3}},
      {"pool overlapping", {PoolKind::max, 2, 7, 5, 3, 2, 0, 3, 2}},
      {"pool padded", {PoolKind::max, 1, 5, 6, 3, 2, 1, 3, 3}},
      {"pool ceil", {PoolKind::max, 2, 5, 6, 3, 2, 0, 2, 3}},
      {"pool stride > kernel", {PoolKind::max, 2, 5, 5, 2, 3, 0, 2, 2}},
      {"pool 3x2", {PoolKind::max, 2, 5, 6, {3, 2}, {1, 2}, {1, 0}, 5, 3}},
  };
  const std::int64_t n = 2;
  for (const Layout from : {Layout::canonical, Layout::channels_last}) {
    for (const Layout to : {Layout::canonical, Layout::channels_last}) {
      const std::string layouts = std::string(from == Layout::canonical ? "" : ", from channels_last") +
                                  (to == Layout::canonical ? "" : ", to channels_last");
      for (const auto& [name, shape] : convs) {
        cases.push_back({name + layouts,
                         ConvForward{shape, all(n), from, to},
                         {ConvBackwardData{shape, all(n), from, to}, ConvBackwardWeights{shape, all(n), from, to}}});
      }
      for (const auto& [name, max_shape] : pools) {
        for (const PoolKind kind : {PoolKind::max, PoolKind::average}) {
          PoolShape shape = max_shape;
          shape.kind = kind;
          cases.push_back({(kind == PoolKind::max ? "max " : "average ") + (name + layouts),
                           PoolForward{shape, all(n), from, to, true},
                           {PoolBackward{shape, all(n), from, to}}});
        }
      }
    }
  }
  for (const Layout layout : {Layout::canonical, Layout::channels_last}) {
    for (const std::int64_t size : {1, 4, 5, 9}) {
      const LrnShape shape{7, 3, {.size = size, .alpha = 0.5f, .beta = 0.75f, .k = 2}};
      cases.push_back({"lrn " + std::to_string(size) + (layout == Layout::canonical ? "" : ", channels_last"),
                       LrnForward{shape, all(n), layout},
                       {LrnBackward{shape, all(n), layout}}});
    }
  }
  for (const ActivationKind kind : {ActivationKind::relu, ActivationKind::sigmoid, ActivationKind::tanh}) {
    cases.push_back({"activation " + std::to_string(static_cast<int>(kind)),
                     ActivationForward{kind, 7, all(3)},
                     {ActivationBackward{kind, 7, all(3)}}});
  }
  cases.push_back({"fully connected",
                   FullyConnectedForward{5, 4, all(3)},
                   {FullyConnectedBackwardData{5, 4, all(3)}, FullyConnectedBackwardWeights{5, 4, 0, 4, {}, all(3)}}});
  cases.push_back({"concat", ConcatForward{{3, 1, 4}, all(2)}, {ConcatBackward{{3, 1, 4}, all(2)}}});
  cases.push_back({"softmax cross-entropy", SoftmaxCrossEntropy{6, all(4), 4, true}, {}});
  cases.push_back({"softmax cross-entropy, part of a batch", SoftmaxCrossEntropy{6, all(2), 5, true}, {}});
  return cases;
}

// Random numbers in what `forward` reads, and in the diff of what it writes.
Fp64Arrays random_arrays(const GradientCase& which) {
  Fp64Arrays arrays;
  std::uint32_t index = 0;
  const auto fill = [&](const std::string& name, std::int64_t elements) {
    const RandomSequence random(5, RandomUse::self_test, index++);
    for (std::int64_t i = 0; i < elements; ++i) arrays[name].push_back(random.normal(static_cast<std::uint64_t>(i)));
  };
  const std::vector<OpArgument> arguments = arguments_of(which.forward);
  const std::vector<std::string> names = argument_names(which.forward);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (names[i] == "labels") {
      for (std::int32_t n = 0; n < arguments[i].elements; ++n) arrays.integers["labels"].push_back(n * 5 % 6);
    } else if (arguments[i].access == Access::read) {
      fill(names[i], arguments[i].elements);
    } else if (names[i] == "destination") {
      fill("diff_destination", arguments[i].elements);
    }
  }
  return arrays;
}

double loss_of(const Op& forward, Fp64Arrays& arrays) {
  arrays.run(forward);
  double loss = 0;
  if (const auto* entropy = std::get_if<SoftmaxCrossEntropy>(&forward)) {
    for (const double sample : arrays["loss"]) loss += sample / static_cast<double>(entropy->global_batch);
    return loss;
  }
  for (std::size_t i = 0; i < arrays["destination"].size(); ++i) {
    loss += arrays["destination"][i] * arrays["diff_destination"][i];
  }
  return loss;
}

TEST(Gradient, equals_finite_differences) {
  constexpr double kStep = 1e-5;
  for (const GradientCase& which : gradient_cases()) {
    SCOPED_TRACE(which.name);
    Fp64Arrays arrays = random_arrays(which);
    arrays.run(which.forward);
    for (const Op& op : which.backward) arrays.run(op);
    const std::map<std::string, std::vector<double>> results = arrays.numbers;

    int gradients = 0;
    for (const std::string& name : argument_names(which.forward)) {
      if (name == "labels" || !results.contains("diff_" + name) || name == "destination") continue;
      ++gradients;
      const std::vector<double>& gradient = results.at("diff_" + name);
      ASSERT_EQ(gradient.size(), results.at(name).size()) << name;
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        const double value = arrays[name][i];
        arrays[name][i] = value + kStep;
        const double above = loss_of(which.forward, arrays);
        arrays[name][i] = value - kStep;
        const double below = loss_of(which.forward, arrays);
        arrays[name][i] = value;
        const double expected = (above - below) / (2 * kStep);
        ASSERT_NEAR(gradient[i], expected, 1e-8 * std::max(1.0, std::abs(expected))) << name << " " << i;
      }
    }
    EXPECT_EQ(gradients,
              std::max<std::ptrdiff_t>(1, std::ranges::count_if(arguments_of(which.forward), [](const auto& a) {
                                         return a.access == Access::read && a.type == DType::f32;
                                       })));
  }
}

}  // namespace
}  // namespace hadal::reference
