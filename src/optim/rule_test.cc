#include "optim/rule.h"

#include <gtest/gtest.h>

#include <vector>

namespace hadal {
namespace {

std::vector<double> rates(const RateSchedule& schedule, int epochs) {
  std::vector<double> all;
  for (int epoch = 0; epoch < epochs; ++epoch) all.push_back(rate_at(schedule, epoch));
  return all;
}

void expect_rates(const RateSchedule& schedule, const std::vector<double>& expected) {
  const std::vector<double> actual = rates(schedule, static_cast<int>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-12) << "epoch " << i;
}

TEST(Rate, follows_its_schedule) {
  expect_rates(ConstantRate{0.5}, {0.5, 0.5});
  expect_rates(StepRate{1, 2, 0.5}, {1, 1, 0.5, 0.5, 0.25});
  expect_rates(MultistepRate{1, {1, 3}, 0.1}, {1, 0.1, 0.1, 0.01, 0.01});
  expect_rates(ExponentialRate{2, 0.5}, {2, 1, 0.5, 0.25});
  expect_rates(PolynomialRate{1, 0.2, 1, 4}, {1, 0.8, 0.6, 0.4, 0.2, 0.2});
  expect_rates(PolynomialRate{1, 0, 2, 2}, {1, 0.25, 0, 0});
  expect_rates(CosineRate{1, 0, 4}, {1, 0.85355339059327373, 0.5, 0.14644660940672627, 0, 0});
  expect_rates(CosineRate{1, 0.5, 2}, {1, 0.75, 0.5});
}

TEST(Stall, counts_epochs_since_the_loss_fell_far_enough) {
  Stall stall;
  const double losses[] = {2.0, 1.0, 0.995, 0.98, 0.97, 0.8, 0.9};
  const std::int64_t expected[] = {0, 0, 1, 0, 1, 0, 1};  // 0.995 is not below 0.99, 0.97 not below 0.9702 (of 0.98)
  for (int epoch = 0; epoch < 7; ++epoch) {
    stall.take(losses[epoch], epoch == 4 ? 0.0103 : 0.01);
    EXPECT_EQ(stall.epochs, expected[epoch]) << epoch;
  }
  EXPECT_EQ(stall.best, 0.8);
}

TEST(Rate, of_a_plateau_falls_with_each_stall) {
  const RateSchedule schedule = PlateauRate{0.8, 0.5};
  EXPECT_EQ(rate_at(schedule, 7, 0), 0.8);
  EXPECT_EQ(rate_at(schedule, 7, 2), 0.2);
}

TEST(WarmUp, grows_evenly_to_the_whole_rate) {
  const WarmUp warm_up{4, 0.2};
  const double expected[] = {0.4, 0.6, 0.8, 1, 1, 1};
  for (int step = 0; step < 6; ++step) EXPECT_NEAR(warm_up.share(step), expected[step], 1e-12) << step;
  EXPECT_EQ(WarmUp{}.share(0), 1);
}

TEST(Rule, names_its_states) {
  EXPECT_EQ(UpdateRule::sgd(0, 0).states(), std::vector<std::string>{});
  EXPECT_EQ(UpdateRule::sgd(0.9, 0).states(), std::vector<std::string>{"momentum"});
  EXPECT_EQ((UpdateRule{.kind = RuleKind::adam}).states(), (std::vector<std::string>{"mean", "squares"}));
  EXPECT_EQ((UpdateRule{.kind = RuleKind::rmsprop, .momentum = 0.9}).states(),
            (std::vector<std::string>{"squares", "momentum"}));
}

TEST(Rule, counts_its_states) {
  for (const RuleKind kind :
       {RuleKind::sgd, RuleKind::nesterov, RuleKind::adagrad, RuleKind::rmsprop, RuleKind::adam, RuleKind::adamw}) {
    for (const double momentum : {0.0, 0.9}) {
      const UpdateRule rule{.kind = kind, .momentum = momentum};
      EXPECT_EQ(rule.state_count(), rule.states().size()) << to_string(kind) << " " << momentum;
    }
  }
}

TEST(Rule, corrects_the_bias_of_adam_alone) {
  const UpdateRule adam{.kind = RuleKind::adam, .beta1 = 0.9, .beta2 = 0.99};
  EXPECT_NEAR(bias_correction(adam, 1).rate, 10, 1e-12);
  EXPECT_NEAR(bias_correction(adam, 1).root, 10, 1e-12);
  EXPECT_NEAR(bias_correction(adam, 10000).rate, 1, 1e-12);
  EXPECT_EQ(bias_correction(UpdateRule::sgd(0.9, 0), 1).rate, 1);
}

}  // namespace
}  // namespace hadal
