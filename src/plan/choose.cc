#include "plan/choose.h"

#include <algorithm>
#include <limits>

#include "plan/memory.h"
#include "plan/simulate.h"

namespace hadal {

namespace {

bool sends_factors(const Plan& plan) {
  return std::find(plan.content.begin(), plan.content.end(), ExchangeContent::factors) != plan.content.end();
}

bool fits(const Plan& plan, const Machine& machine, std::vector<std::size_t> scratch) {
  scratch.resize(plan.devices.size() * kStreamKinds);
  const MemoryPlan memory = plan_memory(plan, {64, std::move(scratch), true});
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    const double has = machine.devices[d].memory_bytes;
    if (has > 0 && static_cast<double>(memory.use[d].peak) > has) return false;
  }
  return true;
}

}  // namespace

std::vector<Considered> choose_exchange(const Network& network, PlanOptions& options, const Machine& machine,
                                        const Freedom& freedom, const std::vector<std::size_t>& scratch) {
  std::vector<ExchangeTopology> topologies{options.topology};
  if (freedom.topology) {
    topologies = {ExchangeTopology::direct};
    // Two of a partition have one way to each other.
    if (options.groups() > 2) {
      topologies.insert(topologies.end(), {ExchangeTopology::line, ExchangeTopology::tree, ExchangeTopology::ring});
    }
  }
  std::vector<Considered> ways;
  for (const ExchangeTopology topology : topologies) {
    PlanOptions tried = options;
    tried.topology = topology;
    const Plan plan = build_unchecked(network, tried);
    ways.push_back({topology, tried.content, step_seconds(plan, machine), fits(plan, machine, scratch)});
    if (!freedom.content || options.reproducible_shards > 0 || !sends_factors(plan)) continue;
    tried.content = ExchangeContent::gradients;
    const Plan of_gradients = build_unchecked(network, tried);
    ways.push_back(
        {topology, tried.content, step_seconds(of_gradients, machine), fits(of_gradients, machine, scratch)});
  }
  double least = std::numeric_limits<double>::infinity();
  const bool any_fits = std::any_of(ways.begin(), ways.end(), [](const Considered& way) { return way.fits; });
  for (const Considered& way : ways) {
    if (way.fits == any_fits) least = std::min(least, way.step_seconds);
  }
  // Rounding does not decide.
  const auto chosen = std::find_if(ways.begin(), ways.end(), [&](const Considered& way) {
    return way.fits == any_fits && way.step_seconds <= least * (1 + 1e-9);
  });
  std::rotate(ways.begin(), chosen, chosen + 1);
  std::stable_sort(ways.begin() + 1, ways.end(),
                   [](const Considered& a, const Considered& b) { return a.step_seconds < b.step_seconds; });
  options.topology = ways[0].topology;
  options.content = ways[0].content;
  return ways;
}

std::vector<ConsideredSplit> consider_splits(const Network& network, const PlanOptions& options, const Machine& machine,
                                             const Freedom& freedom, const std::vector<std::size_t>& scratch) {
  std::vector<ConsideredSplit> splits;
  const bool one_memory = std::all_of(options.devices.begin(), options.devices.end(), [&](const PlanDevice& device) {
    return device.memory == options.devices[0].memory;
  });
  for (int split = 1; split <= static_cast<int>(options.devices.size()); ++split) {
    if (options.devices.size() % static_cast<std::size_t>(split) != 0) continue;
    PlanOptions tried = options;
    tried.split = split;
    if (tried.rows < tried.groups()) continue;
    if (freedom.topology)
      tried.topology = one_memory && split == 1 ? ExchangeTopology::shared : ExchangeTopology::direct;
    if (tried.topology != ExchangeTopology::shared && tried.groups() > 1)
      choose_exchange(network, tried, machine, freedom, scratch);
    tried.deferred = choose_deferred(network, tried, machine, {}, scratch).deferred;
    const Plan plan = build_plan(network, tried);
    std::size_t peak = 0;
    for (const MemoryUse& use : plan_memory(plan, {64, scratch, true}).use) peak = std::max(peak, use.peak);
    splits.push_back({split, step_seconds(plan, machine), peak, fits(plan, machine, scratch)});
  }
  std::stable_sort(splits.begin(), splits.end(), [](const ConsideredSplit& a, const ConsideredSplit& b) {
    return a.fits != b.fits ? a.fits : a.step_seconds < b.step_seconds;
  });
  return splits;
}

bool may_defer(const PlanOptions& options) {
  return options.devices.size() > 1 && options.split == 1 && options.topology != ExchangeTopology::shared &&
         options.clip_norm == 0 && options.pass_rows == 0;
}

DeferredChoice choose_deferred(const Network& network, const PlanOptions& options, const Machine& machine,
                               std::optional<int> updates, const std::vector<std::size_t>& scratch) {
  constexpr int kTries = 8, kTriesOfLarge = 3;
  constexpr std::size_t kLarge = 20'000;  // steps: each try takes a second
  constexpr double kWorthIt = 0.99;       // it costs a round of its own wherever parameters are looked at
  const Plan plain = build_unchecked(network, options);
  const Simulation now = simulate(plain, machine);
  DeferredChoice choice{{}, now.step_seconds};
  if (!may_defer(options) || updates == 0) return choice;
  // No order of steps is faster than the busiest device and the busiest port.
  double bound = *std::max_element(now.compute_seconds.begin(), now.compute_seconds.end());
  for (const double seconds : now.port_seconds) bound = std::max(bound, seconds);
  double least = updates ? std::numeric_limits<double>::infinity() : now.step_seconds * kWorthIt;
  if (least <= bound) return choice;
  const auto attempt = [&](PlanOptions::Deferred deferred) {
    PlanOptions tried = options;
    tried.deferred = deferred;
    const Plan plan = build_unchecked(network, tried);
    const double seconds = step_seconds(plan, machine);
    if (seconds >= least || !(updates || fits(plan, machine, scratch))) return;
    least = seconds;
    choice.deferred = deferred;
  };
  const auto try_up_to = [&](int most, auto with) {
    const int tries = std::min(most, plain.steps.size() > kLarge ? kTriesOfLarge : kTries);
    for (int i = 1; i <= tries; ++i) attempt(with(most * i / tries));
  };
  const auto layers =
      static_cast<int>(std::count(plain.content.begin(), plain.content.end(), ExchangeContent::gradients));
  if (updates) {
    attempt({std::min(*updates, layers), 0});
  } else {
    try_up_to(layers, [](int n) { return PlanOptions::Deferred{n, 0}; });
    try_up_to(layers, [](int n) { return PlanOptions::Deferred{n, n}; });
  }
  const int found = choice.deferred.updates;
  try_up_to(found, [&](int n) { return PlanOptions::Deferred{found, n}; });
  return choice;
}

}  // namespace hadal
