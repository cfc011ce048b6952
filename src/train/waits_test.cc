// Every wait of a plan matters: without it, the result changes where what it waits for is late.

#include <gtest/gtest.h>

#include "testing/networks.h"
#include "testing/small_training.h"

namespace hadal {
namespace {

using testing::SmallTrainer;
using testing::SmallTraining;

struct WaitsCase {
  std::string name;
  NetworkSpec network;
  ExchangeContent content = ExchangeContent::automatic;
  double clip_norm = 0;
  std::int64_t shards = 0;
  DType precision = DType::f32;
  ExchangeTopology topology = ExchangeTopology::direct;
  int devices = 2;
  PlanOptions::Deferred deferred{};
  int split = 1;
};

SmallTraining training_of(const WaitsCase& c) {
  SmallTraining training;
  training.network = c.network;
  training.devices = testing::device_list("fake", c.devices);
  training.topology = c.topology;
  training.content = c.content;
  training.clip_norm = c.clip_norm;
  training.shards = c.shards;
  training.precision = c.precision;
  training.deferred = c.deferred;
  training.split = c.split;
  training.batch = training.last_rows = 6;
  training.steps = 3;
  return training;
}

// The results of each step, then the parameters.
std::vector<std::vector<float>> train_without(SmallTraining training, int late, int step, std::size_t wait) {
  training.late_stream = late;
  SmallTrainer trainer(training);
  std::vector<Plan> plans = trainer.whole_batches();
  if (step >= 0) {
    std::vector<int>& waits = plans[0].steps[step].waits;
    waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(wait));
  }
  trainer.bind(std::move(plans));
  std::vector<std::vector<float>> numbers;
  for (int s = 0; s < training.steps; ++s) {
    const int ran = trainer.run(0, s);
    for (std::vector<float>& result : trainer.results(ran)) numbers.push_back(std::move(result));
  }
  for (std::vector<float>& values : trainer.parameters()) numbers.push_back(std::move(values));
  // On every device: a copy that came too early may be made good by the next round's.
  for (const ParameterPlace& place : trainer.runner().plan(0).parameters) {
    for (const int tensor : place.tensor) numbers.push_back(trainer.runner().read_numbers(0, tensor));
  }
  return numbers;
}

class Delays : public ::testing::TestWithParam<WaitsCase> {};

TEST_P(Delays, change_nothing_while_all_waits_are_there) {
  const auto expected = train_without(training_of(GetParam()), -1, -1, 0);
  const int streams = GetParam().devices * kStreamKinds;
  for (int late = 0; late < streams; ++late) {
    EXPECT_EQ(train_without(training_of(GetParam()), late, -1, 0), expected) << late;
  }
}

class Waits : public ::testing::TestWithParam<WaitsCase> {};

TEST_P(Waits, each_of_them_changes_the_result_when_removed) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "races on purpose";
#endif
  const SmallTraining training = training_of(GetParam());
  const auto expected = train_without(training, -1, -1, 0);
  const Plan plan = SmallTrainer(training).whole_batches()[0];
  ASSERT_GT(plan.waits(), 0u);
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    for (std::size_t wait = 0; wait < plan.steps[step].waits.size(); ++wait) {
      const Step& awaited = plan.steps[plan.steps[step].waits[wait]];
      bool noticed = false;
      // A value read before it was written may be a NaN, which is refused: noticed too.
      for (int attempt = 0; attempt < 4 && !noticed; ++attempt) {  // a busy machine may delay the wrong one
        try {
          noticed = train_without(training, static_cast<int>(awaited.stream_index()), step, wait) != expected;
        } catch (const std::exception&) {
          noticed = true;
        }
      }
      EXPECT_TRUE(noticed) << plan.steps[step].name << " on " << plan.devices[plan.steps[step].device].name
                           << " waits for " << awaited.name << " on " << plan.devices[awaited.device].name
                           << ", and nobody would miss it";
    }
  }
}

NetworkSpec tiny_conv() {
  return {{1, 6, 6}, {testing::conv("conv", {.out = 4, .kernel = 3}), testing::fully_connected("out", 3)}, {}};
}

NetworkSpec two_layers() {
  return {{30},
          {testing::fully_connected("a", 200), testing::activation("s", ActivationKind::sigmoid),
           testing::fully_connected("b", 40)},
          {}};
}

NetworkSpec tiny_dag() {
  return {{12},
          {testing::fully_connected("a", 20), testing::fully_connected("left", 8),
           testing::fully_connected("right", 8, {"a"}), testing::layer("add", "sum", AddOptions{}, {"left", "right"}),
           testing::fully_connected("out", 3)},
          {}};
}

WaitsCase relayed(const char* name, ExchangeTopology topology) {
  return {name, tiny_conv(), ExchangeContent::automatic, 0, 0, DType::f32, topology, 3};
}

WaitsCase split(const char* name, const NetworkSpec& network, int devices, DType precision = DType::f32) {
  return {name, network, ExchangeContent::gradients, 0, 0, precision, ExchangeTopology::direct, devices, {}, 2};
}

// Channels that move: halves of a pooled image, neighbours of a normalisation, two of a sum.
NetworkSpec tiny_channels() {
  return {{2, 4, 4},
          {testing::conv("conv", {.out = 4, .kernel = 3, .pad = 1}),
           testing::layer("lrn", "lrn", LrnOptions{.size = 3, .alpha = 0.5f}),
           testing::conv("grouped", {.out = 4, .kernel = 3, .pad = 1, .groups = 2}),
           testing::layer("add", "sum", AddOptions{}, {"lrn", "grouped"}), testing::fully_connected("out", 3)},
          {}};
}

std::vector<WaitsCase> cases() {
  return {{"relayed_factors", two_layers(), ExchangeContent::factors, 0, 0, DType::f32, ExchangeTopology::line, 3},
          {"conv", tiny_conv()},
          {"gradients", two_layers(), ExchangeContent::gradients},
          {"factors", two_layers(), ExchangeContent::factors},
          {"clipped", tiny_conv(), ExchangeContent::automatic, 0.01},
          {"reproducible", tiny_conv(), ExchangeContent::automatic, 0, 4},
          {"branches", tiny_dag()},
          {"bf16", tiny_conv(), ExchangeContent::automatic, 0, 0, DType::bf16},
          {"bf16_factors", two_layers(), ExchangeContent::factors, 0, 0, DType::bf16},
          {"deferred", two_layers(), ExchangeContent::gradients, 0, 0, DType::f32, ExchangeTopology::direct, 2, {2, 1}},
          {"clipped_factors", two_layers(), ExchangeContent::factors, 0.01},
          relayed("line", ExchangeTopology::line),
          relayed("tree", ExchangeTopology::tree),
          relayed("ring", ExchangeTopology::ring),
          split("split", two_layers(), 2),
          split("split_channels", tiny_channels(), 2),
          split("split_branches_bf16", tiny_dag(), 2, DType::bf16),
          split("two_groups", tiny_conv(), 4),
          {"split_reproducible",
           two_layers(),
           ExchangeContent::automatic,
           0,
           2,
           DType::f32,
           ExchangeTopology::direct,
           2,
           {},
           2},
          {"split_clipped",
           two_layers(),
           ExchangeContent::gradients,
           0.1,
           0,
           DType::f32,
           ExchangeTopology::direct,
           2,
           {},
           2}};
}

const auto kName = [](const auto& test) { return test.param.name; };

INSTANTIATE_TEST_SUITE_P(all, Waits, ::testing::ValuesIn(cases()), kName);
INSTANTIATE_TEST_SUITE_P(all, Delays, ::testing::ValuesIn(cases()), kName);

}  // namespace
}  // namespace hadal
