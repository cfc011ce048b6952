// A loss whose classes are divided: what the check of plans finds where a step is missing or takes something else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "plan/plan.h"
#include "plan/verify.h"
#include "testing/networks.h"
#include "testing/plans.h"

namespace hadal {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

void drop_step(Plan& plan, std::size_t step) {
  plan.steps.erase(plan.steps.begin() + static_cast<std::ptrdiff_t>(step));
  for (Step& other : plan.steps) other.waits.clear(), other.room_waits.clear();
}

// In training and evaluation, in passes or not, with a memory of each device or one.
class DividedLoss : public ::testing::TestWithParam<std::tuple<PlanMode, int, std::int64_t, ExchangeTopology>> {
 protected:
  DividedLoss() {
    const auto [mode, split, pass_rows, topology] = GetParam();
    PlanOptions options = testing::plan_options(topology, 2 * split, ExchangeContent::automatic, 24);
    if (topology == ExchangeTopology::shared) {
      for (PlanDevice& device : options.devices) device.memory = 0;
    }
    options.split = split;
    options.smallest_part = 1;
    options.mode = mode;
    options.pass_rows = pass_rows;
    plan_ = build_plan(network_, options);
  }

  // All steps with an operator of the kind, each changed in a plan of its own, are found.
  template <class Of, class Change>
  void expect_found(const Change& change) {
    int changed = 0;
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      Plan damaged = plan_;
      auto* compute = std::get_if<Compute>(&damaged.steps[i].body);
      if (compute == nullptr || !std::holds_alternative<Of>(compute->op)) continue;
      if (!change(damaged, damaged.steps[i], std::get<Of>(compute->op))) continue;
      EXPECT_THAT(exchange_error(damaged, network_), Not(AnyOf("", HasSubstr("numbers as its"))))
          << plan_.steps[i].name << " on " << plan_.steps[i].device;
      ++changed;
    }
    EXPECT_GE(changed, 2);
  }

  Network network_ = build_network(testing::small_mlp());
  Plan plan_;
};

TEST_P(DividedLoss, without_any_of_its_steps_is_found) {
  int dropped = 0;
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    if (!plan_.steps[i].name.starts_with("loss")) continue;
    Plan damaged = plan_;
    drop_step(damaged, i);
    EXPECT_NE(exchange_error(damaged, network_), "") << plan_.steps[i].name << " on " << plan_.steps[i].device;
    ++dropped;
  }
  EXPECT_GE(dropped, 2 * (2 * std::get<1>(GetParam()) + 4));
}

TEST_P(DividedLoss, of_other_classes_is_found) {
  const auto other = [](Plan&, const Step&, auto& op) { return ++op.first_class > 0; };
  expect_found<SoftmaxSums>(other);
  expect_found<SoftmaxCrossEntropyPart>(other);
}

// What another device of the group, or another group, knows.
TEST_P(DividedLoss, by_the_numbers_of_another_device_is_found) {
  const auto redirect = [](Plan& plan, Step& step, std::size_t read) {
    const PlanTensor& reads = plan.tensors[step.reads[read].tensor];
    for (int t = 0; t < static_cast<int>(plan.tensors.size()); ++t) {
      const PlanTensor& tensor = plan.tensors[t];
      if (tensor.name != reads.name || tensor.device == reads.device || tensor.elements < step.reads[read].count) {
        continue;
      }
      step.reads[read].tensor = t;
      return true;
    }
    return false;
  };
  for (const std::size_t read : {0u, 1u, 2u}) {  // logits, labels, sums
    expect_found<SoftmaxCrossEntropyPart>(
        [&](Plan& plan, Step& step, const SoftmaxCrossEntropyPart&) { return redirect(plan, step, read); });
    if (read == 2) break;
    expect_found<SoftmaxSums>([&](Plan& plan, Step& step, const SoftmaxSums&) { return redirect(plan, step, read); });
  }
  const bool ranks = std::get<0>(GetParam()) == PlanMode::evaluate;
  if (ranks) {
    expect_found<LabelRank>([&](Plan& plan, Step& step, const LabelRank&) { return redirect(plan, step, 0); });
  }
}

INSTANTIATE_TEST_SUITE_P(all, DividedLoss,
                         ::testing::Combine(::testing::Values(PlanMode::train, PlanMode::evaluate),
                                            ::testing::Values(2, 3), ::testing::Values(0, 12),
                                            ::testing::Values(ExchangeTopology::direct, ExchangeTopology::shared)));

}  // namespace
}  // namespace hadal
