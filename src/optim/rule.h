#pragma once
// Update rules and rate schedules, as data and as pure functions of the position in training.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace hadal {

// How a parameter w changes by its gradient g, as PyTorch has it. Before all rules but adamw: g = g + weight_decay w.
//
//   sgd       v = momentum v + g;   w = w - rate v                                    (without momentum: v = g)
//   nesterov  v = momentum v + g;   w = w - rate (g + momentum v)                     (Sutskever et al. 2013)
//   adagrad   s = s + g g;          w = w - rate g / (sqrt(s) + epsilon)              (Duchi, Hazan, Singer 2011)
//   rmsprop   s = beta2 s + (1 - beta2) g g;   u = g / (sqrt(s) + epsilon)            (Hinton 2012)
//             w = w - rate u;       with momentum: v = momentum v + u;   w = w - rate v
//   adam      m = beta1 m + (1 - beta1) g;   s = beta2 s + (1 - beta2) g g            (Kingma, Ba 2015)
//             w = w - rate / (1 - beta1^t) m / (sqrt(s) / sqrt(1 - beta2^t) + epsilon), t counts updates from 1
//   adamw     w = w - rate weight_decay w, then as adam                               (Loshchilov, Hutter 2019)
enum class RuleKind { sgd, nesterov, adagrad, rmsprop, adam, adamw };

const char* to_string(RuleKind kind);  // as in a job

struct UpdateRule {
  RuleKind kind = RuleKind::sgd;
  double momentum = 0, weight_decay = 0;
  double beta1 = 0, beta2 = 0, epsilon = 0;
  double rate_mult = 1;  // what the rate is multiplied by

  static UpdateRule sgd(double momentum, double weight_decay) { return {RuleKind::sgd, momentum, weight_decay}; }

  // What is kept for each element of a parameter between updates, in the order of operators' arguments: "momentum" (v),
  // "mean" (m), "squares" (s). At most two.
  std::vector<std::string> states() const;
  std::size_t state_count() const;

  bool operator==(const UpdateRule&) const = default;
};

// All names that states() can give.
const std::vector<std::string>& state_names();

// What adam's update `t` (from 1) multiplies the rate by, and the root of s; 1 for other rules.
struct BiasCorrection {
  double rate = 1, root = 1;
};
BiasCorrection bias_correction(const UpdateRule& rule, std::uint64_t t);

struct ConstantRate {
  double base = 0;
};

// base * factor^(epoch / every_epochs), the quotient rounded down; epochs count from 0.
struct StepRate {
  double base = 0;
  std::int64_t every_epochs = 1;
  double factor = 0.1;
};

// base * factor^n, n: how many of `at_epochs` have begun.
struct MultistepRate {
  double base = 0;
  std::vector<std::int64_t> at_epochs;
  double factor = 0.1;
};

// base * factor^epoch.
struct ExponentialRate {
  double base = 0, factor = 0.9;
};

// From base to `end` in `epochs`: end + (base - end) (1 - epoch / epochs)^power; then `end`.
struct PolynomialRate {
  double base = 0, end = 0, power = 1;
  std::int64_t epochs = 1;
};

// The same along half a cosine: end + (base - end) (1 + cos(pi epoch / epochs)) / 2.
struct CosineRate {
  double base = 0, end = 0;
  std::int64_t epochs = 1;
};

// base * factor^n, n: how often the loss has not fallen by a share of `threshold` for more than `patience` epochs
// (Stall). With patience 0 and factor 0.5 what speech recognition calls "newbob"; as PyTorch's ReduceLROnPlateau.
struct PlateauRate {
  double base = 0, factor = 0.5;
  std::int64_t patience = 0;
  double threshold = 0.001;
};

using RateSchedule =
    std::variant<ConstantRate, StepRate, MultistepRate, ExponentialRate, PolynomialRate, CosineRate, PlateauRate>;

// The rate of all steps of an epoch. `stalls`: what PlateauRate calls n.
double rate_at(const RateSchedule& schedule, std::int64_t epoch, std::int64_t stalls = 0);

// Watches a loss that is known after each epoch.
struct Stall {
  double best = std::numeric_limits<double>::infinity();
  std::int64_t epochs = 0;  // since it was best

  // Takes the loss of an epoch: better than all before where it is below best (1 - threshold).
  void take(double loss, double threshold);
};

// The first `steps` take a share of their rate that grows evenly from `from` to 1.
struct WarmUp {
  std::int64_t steps = 0;
  double from = 0;

  // Of step `step`, from 0: from + (1 - from) (step + 1) / steps.
  double share(std::int64_t step) const;
};

}  // namespace hadal
