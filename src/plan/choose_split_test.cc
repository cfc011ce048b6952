// How the devices of a group divide a model: what layers say of it, and what is chosen on a machine.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "plan/choose.h"
#include "plan/divide.h"
#include "plan/misfit.h"
#include "plan/simulate.h"
#include "testing/networks.h"
#include "testing/plans.h"

namespace hadal {
namespace {

using testing::conv;
using ::testing::ElementsAre;
using testing::fully_connected;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LayerSpec said(LayerSplit split, LayerSpec spec) {
  spec.split = split;
  return spec;
}

std::vector<bool> divided(const NetworkSpec& spec, int parts, const std::vector<int>& whole = {}) {
  const Network network = build_network(spec);
  const Division division(network, parts, 8, 1, whole);
  std::vector<bool> result;
  for (int l = 0; l < static_cast<int>(network.layers.size()); ++l) result.push_back(division.divides(l));
  return result;
}

TEST(Division, does_what_layers_say) {
  const auto network = [](LayerSplit first, LayerSplit last) {
    return NetworkSpec{{30},
                       {said(first, fully_connected("wide", 64)), testing::activation("f", ActivationKind::relu),
                        said(last, fully_connected("narrow", 10))},
                       {}};
  };
  const LayerSplit automatic = LayerSplit::automatic, whole = LayerSplit::whole, divide = LayerSplit::divide;
  EXPECT_THAT(divided(network(automatic, automatic), 4), ElementsAre(true, true, false));
  EXPECT_THAT(divided(network(whole, automatic), 4), ElementsAre(false, false, false));
  EXPECT_THAT(divided(network(automatic, divide), 4), ElementsAre(true, true, true));
  EXPECT_THAT(divided(network(divide, divide), 1), ElementsAre(false, false, false));
  // What is chosen besides goes before what a layer leaves open, and after what it says.
  EXPECT_THAT(divided(network(automatic, divide), 4, {0, 2}), ElementsAre(false, false, true));
}

// Groups x chunks x parts: whatever is divided, a part has whole pieces of the definition.
TEST(Division, gives_parts_whole_pieces) {
  int cut = 0;
  for (std::int64_t groups = 1; groups <= 8; ++groups) {
    NetworkSpec spec{{groups, 4, 4},
                     {testing::conv("stem", {.out = 24 * groups, .kernel = 1}),
                      testing::conv("grouped", {.out = 24 * groups, .kernel = 1, .groups = groups}),
                      testing::conv("other", {.out = 24 * groups, .kernel = 1}, {"stem"}),
                      testing::layer("add", "sum", AddOptions{}, {"grouped", "other"}),
                      testing::layer("batch_norm", "norm", BatchNormOptions{})},
                     {}};
    const Network network = build_network(spec);
    for (std::int64_t chunks = 1; chunks <= 16; ++chunks) {
      for (int parts = 1; parts <= 12; ++parts) {
        const Division division(network, parts, 1, chunks);
        for (int l = 0; l < static_cast<int>(network.layers.size()); ++l) {
          std::int64_t next = 0;
          for (int part = 0; part < parts && division.divides(l); ++part) {
            const Channels own = division.computed(l, part);
            EXPECT_EQ(own.first, next);
            EXPECT_GT(own.count, 0);
            next = own.first + own.count;
          }
          EXPECT_EQ(next, division.divides(l) ? network.layers[static_cast<std::size_t>(l)].output[0] : 0);
          cut += division.divides(l);
          for (int part = 0; part < parts && chunks > 1; ++part) {
            const OutputUnits units = division.units(l, part);
            if (units.empty()) continue;
            EXPECT_EQ(std::accumulate(units.begin(), units.end(), std::int64_t{0}), division.computed(l, part).count)
                << groups << " groups, " << chunks << " chunks, " << parts << " parts, layer " << l;
          }
        }
      }
    }
  }
  EXPECT_GT(cut, 1000);
}

TEST(Division, says_why_a_layer_cannot_be_divided) {
  const auto why = [](const NetworkSpec& spec, int layer, int parts) {
    const Network network = build_network(spec);
    return Division(network, parts, 8).why_not(layer);
  };
  const LayerSplit divide = LayerSplit::divide;
  EXPECT_EQ(why({{30}, {said(divide, fully_connected("out", 3))}, {}}, 0, 4), "it has only 3 outputs for 4 parts");
  const NetworkSpec groups{
      {6, 4, 4},
      {conv("a", {.out = 9, .kernel = 1}), said(divide, conv("b", {.out = 12, .kernel = 1, .groups = 3}))},
      {}};
  EXPECT_THAT(why(groups, 1, 4), HasSubstr("its 3 groups cannot be shared evenly by 4 parts"));
  EXPECT_EQ(why(groups, 1, 3), "");
  EXPECT_EQ(why(groups, 0, 4), "");  // it is not asked for
  PlanOptions options = testing::plan_options(ExchangeTopology::direct, 4, ExchangeContent::gradients, 24);
  options.split = 4;
  const Network network = build_network(groups);
  EXPECT_THROW(build_plan(network, options), ConfigError);
}

// Devices on one switch, each with a memory of its own.
Machine machine_of(int devices, const LinkSpeed& link, double memory_bytes = 0) {
  Machine machine = uniform_machine(devices, link);
  machine.host = -1;
  for (int d = 0; d < devices; ++d) {
    machine.devices[static_cast<std::size_t>(d)].memory = d;
    machine.devices[static_cast<std::size_t>(d)].memory_bytes = memory_bytes;
  }
  return machine;
}

PlanOptions four_devices(std::int64_t batch) {
  return testing::plan_options(ExchangeTopology::direct, 4, ExchangeContent::gradients, batch);
}

// Many parameters, few activations.
NetworkSpec wide() {
  return {{512},
          {fully_connected("a", 1024), testing::activation("f", ActivationKind::relu), fully_connected("b", 1024),
           fully_connected("out", 16)},
          {}};
}

// Few parameters, many activations.
NetworkSpec images() {
  return {{3, 32, 32},
          {conv("a", {.out = 32, .kernel = 3, .pad = 1}), testing::activation("f", ActivationKind::relu),
           conv("b", {.out = 32, .kernel = 3, .pad = 1}), testing::max_pool("pool", 8, 8), fully_connected("out", 16)},
          {}};
}

std::vector<int> splits_of(const std::vector<ConsideredSplit>& ways) {
  std::vector<int> splits;
  for (const ConsideredSplit& way : ways) splits.push_back(way.split);
  return splits;
}

TEST(ConsiderSplits, takes_what_is_predicted_to_be_the_fastest) {
  const Machine machine = machine_of(4, {1e9, 1e-6});
  for (const NetworkSpec& spec : {wide(), images()}) {
    const Network network = build_network(spec);
    const auto ways = consider_splits(network, four_devices(16), machine, {});
    ASSERT_EQ(ways.size(), 3u);
    EXPECT_EQ(ways[0].split, spec.input == wide().input ? 4 : 1);
    for (const ConsideredSplit& way : ways) {
      PlanOptions options = four_devices(16);
      options.split = way.split;
      options.deferred = choose_deferred(network, options, machine).deferred;
      EXPECT_DOUBLE_EQ(way.step_seconds, step_seconds(build_plan(network, options), machine)) << way.split;
      EXPECT_GE(way.step_seconds, ways[0].step_seconds);
      EXPECT_THAT(way.whole, IsEmpty());
      EXPECT_TRUE(way.fits);
      EXPECT_FALSE(way.with_scratch);
    }
    EXPECT_EQ(splits_of(consider_splits(network, four_devices(16), machine, {})), splits_of(ways));
  }
}

TEST(ConsiderSplits, knows_only_what_divides_devices_and_batch) {
  const Machine six = machine_of(6, {1e9, 1e-6});
  const Network network = build_network(wide());
  const auto splits = [&](std::int64_t batch, std::int64_t pass_rows = 0) {
    PlanOptions options = testing::plan_options(ExchangeTopology::direct, 6, ExchangeContent::gradients, batch);
    options.pass_rows = pass_rows;
    return splits_of(consider_splits(network, options, six, {}));
  };
  EXPECT_THAT(splits(24), ::testing::UnorderedElementsAre(1, 2, 3, 6));
  EXPECT_THAT(splits(2), ::testing::UnorderedElementsAre(3, 6));
  EXPECT_THAT(splits(12, 3), ::testing::UnorderedElementsAre(2, 3, 6));
  // Nor a split that a layer cannot have.
  NetworkSpec narrow = wide();
  narrow.layers.back() = said(LayerSplit::divide, fully_connected("out", 5));
  const Network of_narrow = build_network(narrow);
  const PlanOptions options = testing::plan_options(ExchangeTopology::direct, 6, ExchangeContent::gradients, 24);
  EXPECT_THAT(splits_of(consider_splits(of_narrow, options, six, {})), ::testing::UnorderedElementsAre(1, 2, 3));
}

TEST(ConsiderSplits, passes_over_what_does_not_fit) {
  const Network network = build_network(wide());
  const auto ways = consider_splits(network, four_devices(512), machine_of(4, {1e12, 0}), {});
  ASSERT_EQ(ways[0].split, 1);
  const auto with_split = [](const std::vector<ConsideredSplit>& all, int split) {
    return *std::find_if(all.begin(), all.end(), [=](const auto& way) { return way.split == split; });
  };
  const std::size_t one = with_split(ways, 1).peak_bytes, four = with_split(ways, 4).peak_bytes;
  ASSERT_LT(four, one);
  const Machine small = machine_of(4, {1e12, 0}, (static_cast<double>(one) + static_cast<double>(four)) / 2);
  const auto fitting = consider_splits(network, four_devices(512), small, {});
  EXPECT_TRUE(fitting[0].fits);
  EXPECT_GT(fitting[0].split, 1);
  EXPECT_FALSE(with_split(fitting, 1).fits);
  EXPECT_EQ(what_it_buys(with_split(fitting, 4), fitting), Gain::fits);
  EXPECT_EQ(what_it_buys(with_split(ways, 4), ways), Gain::memory);
  // What kernels need counts too.
  SplitFreedom freedom;
  freedom.kernels = [&](const Plan& of) -> MemoryOf {
    return [one, split = of.split](const Plan& plan) {
      const std::size_t bytes = split == 4 ? one : 0;
      return MemoryOptions{64, std::vector<std::size_t>(plan.devices.size() * kStreamKinds, bytes), true};
    };
  };
  const auto scratched = consider_splits(network, four_devices(512), small, freedom);
  EXPECT_FALSE(with_split(scratched, 4).fits);
  EXPECT_TRUE(scratched[0].with_scratch);
  EXPECT_GT(with_split(scratched, 4).peak_bytes, four);
  freedom.kernels = {};
  freedom.limit = one - 1;
  EXPECT_FALSE(with_split(consider_splits(network, four_devices(512), machine_of(4, {1e12, 0}), freedom), 1).fits);
}

// As the plan that is then made does.
TEST(ConsiderSplits, computes_again_what_does_not_fit_otherwise) {
  NetworkSpec spec{{2, 16, 16}, {}, {}};
  for (int i = 0; i < 4; ++i) {
    spec.layers.push_back(conv("conv" + std::to_string(i), {.out = 16, .kernel = 3, .pad = 1}));
    spec.layers.push_back(testing::layer("lrn", "lrn" + std::to_string(i), LrnOptions{}));
  }
  spec.layers.push_back(fully_connected("out", 16));
  const Network network = build_network(spec);
  const auto of_one = [&](const SplitFreedom& freedom) {
    const auto ways = consider_splits(network, four_devices(64), machine_of(4, {1e12, 0}), freedom);
    return *std::find_if(ways.begin(), ways.end(), [](const auto& way) { return way.split == 1; });
  };
  SplitFreedom freedom;
  const ConsideredSplit kept = of_one(freedom);
  freedom.limit = kept.peak_bytes * 9 / 10;
  EXPECT_FALSE(of_one(freedom).fits);
  freedom.fit.limit.assign(4, freedom.limit);
  const ConsideredSplit again = of_one(freedom);
  EXPECT_TRUE(again.fits);
  EXPECT_LE(again.peak_bytes, freedom.limit);
  EXPECT_GT(again.step_seconds, kept.step_seconds);
  freedom.fit.recompute = false;
  EXPECT_FALSE(of_one(freedom).fits);
}

// Where a way to another device takes longer than the layer, it is better computed by all.
TEST(ConsiderSplits, keeps_layers_whole_that_are_better_so) {
  const Network network = build_network(wide());
  const Machine machine = machine_of(4, {1e9, 1e-3});
  const auto plain = consider_splits(network, four_devices(16), machine, {});
  SplitFreedom freedom;
  freedom.layers = true;
  const auto ways = consider_splits(network, four_devices(16), machine, freedom);
  for (const ConsideredSplit& way : ways) {
    const auto& before = *std::find_if(plain.begin(), plain.end(), [&](const auto& p) { return p.split == way.split; });
    PlanOptions options = four_devices(16);
    options.split = way.split;
    options.whole = way.whole;
    options.deferred = choose_deferred(network, options, machine).deferred;
    const Plan plan = build_plan(network, options);
    EXPECT_DOUBLE_EQ(step_seconds(plan, machine), way.step_seconds) << way.split;
    for (const int layer : way.whole) EXPECT_EQ(plan.parts[static_cast<std::size_t>(layer)], 1);
    if (way.split == 1) {
      EXPECT_THAT(way.whole, IsEmpty());
    } else if (way.split == 2) {
      EXPECT_THAT(way.whole, ::testing::Contains(3));
      EXPECT_LT(way.step_seconds, 0.99 * before.step_seconds);
    }
  }
  // Unless the network says otherwise.
  NetworkSpec spec = wide();
  for (LayerSpec& layer : spec.layers) {
    if (layer.type == "fully_connected") layer.split = LayerSplit::divide;
  }
  const Network forced = build_network(spec);
  for (const ConsideredSplit& way : consider_splits(forced, four_devices(16), machine, freedom))
    EXPECT_THAT(way.whole, IsEmpty());
}

TEST(Misfits, name_the_device_and_its_largest_layers) {
  const Network network = build_network(wide());
  PlanOptions options = four_devices(16);
  options.split = 2;
  const Plan plan = build_plan(network, options);
  const MemoryPlan memory = plan_memory(plan, {});
  Machine machine = machine_of(4, {1e9, 0});
  EXPECT_TRUE(fits(memory, machine));
  machine.devices[2].memory_bytes = 3e6;
  const auto found = misfits(plan, network, memory, machine);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_FALSE(fits(memory, machine));
  EXPECT_EQ(found[0].device, 2);
  EXPECT_EQ(found[0].needs, static_cast<double>(memory.use[2].peak));
  EXPECT_THAT(describe(found[0], plan), HasSubstr("fake:2 has 3 MB of memory, and the plan needs "));
  EXPECT_THAT(describe(found[0], plan), HasSubstr("b weights and state "));
  // Devices of one memory need what all of them need.
  machine.devices[2].memory = machine.devices[3].memory;
  machine.devices[2].memory_bytes = machine.devices[3].memory_bytes = 1.5 * static_cast<double>(memory.use[2].peak);
  EXPECT_EQ(misfits(plan, network, memory, machine).size(), 1u);
}

}  // namespace
}  // namespace hadal
