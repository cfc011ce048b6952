// What backward computes again: chosen values, and what choosing them saves.

#include "plan/recompute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "plan/fit.h"
#include "plan/pack.h"
#include "testing/networks.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

constexpr std::int64_t kRows = 32;

PlanOptions options_of(int devices = 1, int split = 1) {
  PlanOptions options;
  options.batch = options.rows = kRows;
  for (int d = 0; d < devices; ++d) options.devices.push_back({"fake:" + std::to_string(d), d});
  options.topology = ExchangeTopology::direct;
  options.split = split;
  options.smallest_part = 1;
  options.rule = UpdateRule::sgd(0.9, 0);
  options.image_layout = Layout::channels_last;
  return options;
}

// As AlexNet begins: what is normalised is read by a pooling alone.
NetworkSpec normalised() {
  using testing::layer;
  return {
      {3, 32, 32},
      {testing::conv("conv1", {.out = 8, .kernel = 3, .pad = 1}), testing::activation("relu1", ActivationKind::relu),
       layer("lrn", "lrn1", LrnOptions{.size = 5}), testing::max_pool("pool1", 2, 2),
       testing::conv("conv2", {.out = 16, .kernel = 3, .pad = 1}), testing::activation("relu2", ActivationKind::relu),
       testing::max_pool("pool2", 2, 2), testing::fully_connected("out", 10)},
      {}};
}

std::vector<std::string> names(const std::vector<KeptValue>& values) {
  std::vector<std::string> list;
  for (const KeptValue& value : values) list.push_back(value.name);
  return list;
}

std::vector<std::string> steps_again(const Plan& plan) {
  std::vector<std::string> list;
  for (const Step& step : plan.steps) {
    if (step.again) list.push_back(step.name);
  }
  return list;
}

TEST(Recompute, knows_what_is_kept) {
  const Network network = build_network(normalised());
  const auto kept = kept_values(build_plan(network, options_of()));
  EXPECT_THAT(names(kept),
              ElementsAre("input", "conv1", "pool1", "pool1.workspace", "conv2", "pool2", "pool2.workspace"));
  for (const KeptValue& value : kept) {
    EXPECT_EQ(value.cheap, value.name.starts_with("pool")) << value.name;
    EXPECT_GT(value.bytes, 0u) << value.name;
  }
  EXPECT_EQ(kept[1].bytes, kRows * 8 * 32 * 32 * 4u);
}

TEST(Recompute, does_again_what_a_value_needs_that_is_gone) {
  const Network network = build_network(normalised());
  PlanOptions options = options_of();
  options.recompute = {"pool1"};
  // The normalised values were not kept, and the pooling's workspace comes with its result.
  EXPECT_THAT(steps_again(build_plan(network, options)), ElementsAre("lrn1.forward", "pool1.forward"));
  options.recompute = {"conv1"};
  EXPECT_THAT(steps_again(build_plan(network, options)), ElementsAre("conv1.forward", "relu1.forward"));
  options.recompute = {"conv1", "input", "pool1"};
  EXPECT_THAT(steps_again(build_plan(network, options)),
              ElementsAre("input.load", "conv1.forward", "relu1.forward", "lrn1.forward", "pool1.forward"));
  options.recompute = {"no such value", "conv1.diff_0", "loss"};
  EXPECT_THAT(steps_again(build_plan(network, options)), ElementsAre());
}

TEST(Recompute, brings_again_what_partitions_have) {
  const Network network = build_network(normalised());
  PlanOptions options = options_of(2, 2);
  const Plan kept = build_plan(network, options);
  EXPECT_THAT(names(kept_values(kept)), IsSupersetOf({"lrn1.input_0", "conv2.input_0", "out.input_0"}));
  options.recompute = {"conv2.input_0"};
  const Plan again = build_plan(network, options);
  EXPECT_EQ(again.transfer_bytes(), kept.transfer_bytes() + kRows * 8 * 16 * 16 * 4);
}

TEST(Fit, stops_when_it_fits_and_keeps_what_it_can) {
  const Network network = build_network(normalised());
  const Machine machine = uniform_machine(1, {});
  FitOptions fit_options;
  fit_options.memory = [](const Plan&) { return MemoryOptions{}; };
  const auto fitted = [&](std::size_t limit) {
    PlanOptions options = options_of();
    fit_options.limit = {limit};
    const Fitting fitting = fit(network, options, machine, fit_options);
    EXPECT_EQ(options.recompute, std::set(fitting.recomputed.begin(), fitting.recomputed.end()));
    const Plan plan = build_plan(network, options);
    EXPECT_EQ(plan_memory(plan, {}).use[0].peak, fitting.peak[0]);
    if (fitting.fits && limit > 0) {
      EXPECT_LE(fitting.peak[0], limit);
    }
    return fitting;
  };
  const Fitting all_kept = fitted(0);
  EXPECT_TRUE(all_kept.fits && all_kept.recomputed.empty());
  const std::size_t peak = all_kept.peak[0];
  EXPECT_TRUE(fitted(peak).recomputed.empty());
  std::size_t count = 0;
  double least = 1;
  for (const double share : {0.97, 0.94, 0.9, 0.8, 0.7, 0.5}) {
    const Fitting fitting = fitted(static_cast<std::size_t>(share * static_cast<double>(peak)));
    if (!fitting.fits) continue;
    EXPECT_GE(fitting.recomputed.size(), std::min<std::size_t>(count, 1)) << share;
    count = fitting.recomputed.size();
    least = share;
  }
  EXPECT_GT(count, 0u);
  EXPECT_LT(least, 0.95);
  // What fits into less fits into more.
  for (double share = 0.99; share > least; share -= 0.01) {
    EXPECT_TRUE(fitted(static_cast<std::size_t>(share * static_cast<double>(peak))).fits) << share;
  }
  EXPECT_FALSE(fitted(1000).fits);
  fit_options.recompute = false;
  EXPECT_FALSE(fitted(peak - 1).fits);
  EXPECT_TRUE(fitted(peak - 1).recomputed.empty());
  fit_options.recompute = fit_options.all_cheap = true;
  EXPECT_THAT(fitted(0).recomputed, ElementsAre("pool1", "pool1.workspace", "pool2", "pool2.workspace"));
}

// Blocks as intervals: as low as the most that live at once where any order finds that.
TEST(Pack, wastes_little) {
  struct Interval {
    int first, last;
    std::size_t bytes;
  };
  const std::vector<Interval> intervals{{0, 9, 640}, {1, 3, 1280}, {2, 6, 320},  {4, 8, 1280}, {5, 5, 1920},
                                        {7, 9, 960}, {0, 1, 2560}, {8, 12, 640}, {10, 12, 64}, {3, 4, 1600}};
  std::vector<PackBlock> blocks;
  for (const Interval& i : intervals) blocks.push_back({i.bytes, static_cast<double>(i.last - i.first + 1)});
  const auto meet = [&](std::size_t a, std::size_t b) {
    return intervals[a].first <= intervals[b].last && intervals[b].first <= intervals[a].last;
  };
  std::size_t most = 0;
  for (int at = 0; at <= 12; ++at) {
    std::size_t live = 0;
    for (const Interval& i : intervals) live += i.first <= at && at <= i.last ? i.bytes : 0;
    most = std::max(most, live);
  }
  const Packing packing = pack(blocks, meet, 64, most);
  EXPECT_EQ(packing.end, most);
  for (std::size_t a = 0; a < blocks.size(); ++a) {
    EXPECT_EQ(packing.offset[a] % 64, 0u);
    EXPECT_LE(packing.offset[a] + blocks[a].bytes, packing.end);
    for (std::size_t b = 0; b < a; ++b) {
      if (!meet(a, b)) continue;
      EXPECT_TRUE(packing.offset[a] + blocks[a].bytes <= packing.offset[b] ||
                  packing.offset[b] + blocks[b].bytes <= packing.offset[a])
          << a << " and " << b;
    }
  }
  EXPECT_EQ(pack({}, meet, 64, 0).end, 0u);
}

}  // namespace
}  // namespace hadal
