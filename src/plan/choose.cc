#include "plan/choose.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "plan/memory.h"
#include "plan/misfit.h"
#include "plan/simulate.h"

namespace hadal {

namespace {

bool sends_factors(const Plan& plan) {
  return std::find(plan.content.begin(), plan.content.end(), ExchangeContent::factors) != plan.content.end();
}

MemoryOptions nothing_beside(const Plan& plan) {
  return {64, std::vector<std::size_t>(plan.devices.size() * kStreamKinds), true};
}

MemoryPlan memory_of(const Plan& plan, const MemoryOf& memory) {
  return plan_memory(plan, memory ? memory(plan) : nothing_beside(plan));
}

bool fits(const Plan& plan, const Machine& machine, const MemoryOf& memory) {
  const auto says = [](const MachineDevice& device) { return device.memory_bytes > 0; };
  if (std::none_of(machine.devices.begin(), machine.devices.end(), says)) return true;
  return fits(memory_of(plan, memory), machine);
}

}  // namespace

std::vector<Considered> choose_exchange(const Network& network, PlanOptions& options, const Machine& machine,
                                        const Freedom& freedom, const MemoryOf& memory) {
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
    ways.push_back({topology, tried.content, step_seconds(plan, machine), fits(plan, machine, memory)});
    if (!freedom.content || options.reproducible_shards > 0 || !sends_factors(plan)) continue;
    tried.content = ExchangeContent::gradients;
    const Plan of_gradients = build_unchecked(network, tried);
    ways.push_back({topology, tried.content, step_seconds(of_gradients, machine), fits(of_gradients, machine, memory)});
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

namespace {

constexpr std::size_t kLarge = 20'000;       // steps: each try takes a second
constexpr std::size_t kMostPlanned = 5'000;  // layers x devices x split of what is compared
constexpr double kWorthIt = 0.99;            // what must be gained to leave the plain way

// The layers that are better not divided, of those that may be and are with `options`.
std::vector<int> better_whole(const Network& network, PlanOptions options, const Machine& machine,
                              const MemoryOf& memory) {
  constexpr std::size_t kTries = 32, kTriesOfLarge = 3;
  const Plan divided = build_unchecked(network, options);
  double least = step_seconds(divided, machine);
  bool fit_so_far = fits(divided, machine, memory);
  std::vector<int> candidates;
  for (int l = 0; l < static_cast<int>(network.layers.size()); ++l) {
    const Layer& layer = network.layers[static_cast<std::size_t>(l)];
    const bool by_outputs = std::holds_alternative<FullyConnectedOptions>(layer.options) ||
                            std::holds_alternative<ConvOptions>(layer.options);
    if (by_outputs && layer.split == LayerSplit::automatic && divided.parts[static_cast<std::size_t>(l)] > 1)
      candidates.push_back(l);
  }
  std::stable_sort(candidates.begin(), candidates.end(), [&](int a, int b) {
    return network.layers[static_cast<std::size_t>(a)].forward_flops <
           network.layers[static_cast<std::size_t>(b)].forward_flops;
  });
  candidates.resize(std::min(candidates.size(), divided.steps.size() > kLarge ? kTriesOfLarge : kTries));
  for (const int layer : candidates) {
    options.whole.push_back(layer);
    try {
      const Plan plan = build_unchecked(network, options);
      const bool fits_so = fits(plan, machine, memory);
      const double seconds = step_seconds(plan, machine);
      if (fits_so != fit_so_far ? fits_so : seconds < least * kWorthIt) {
        least = seconds;
        fit_so_far = fits_so;
        continue;
      }
    } catch (const ConfigError&) {  // a layer that must be divided needs this one so
    }
    options.whole.pop_back();
  }
  std::sort(options.whole.begin(), options.whole.end());
  return options.whole;
}

// The plan of `options`, which computes values again where it is too large otherwise.
ConsideredSplit as_it_fits(const Network& network, PlanOptions options, const Machine& machine,
                           const SplitFreedom& freedom) {
  Plan plan = build_unchecked(network, options);
  // Layers that are whole have kernels of their own.
  const MemoryOf of_kernels = freedom.kernels ? freedom.kernels(plan) : nothing_beside;
  const std::vector<std::size_t>& limits = freedom.fit.limit;
  const bool limited = std::any_of(limits.begin(), limits.end(), [](std::size_t bytes) { return bytes > 0; });
  if (limited || freedom.fit.all_cheap) {
    FitOptions fit_options = freedom.fit;
    fit_options.find_least = false;
    fit_options.memory = of_kernels;
    fit(network, options, machine, fit_options);
    if (!options.recompute.empty()) plan = build_unchecked(network, options);
  }
  const MemoryPlan memory = memory_of(plan, of_kernels);
  std::size_t peak = 0;
  for (const MemoryUse& use : memory.use) peak = std::max(peak, use.peak);
  const bool within = freedom.limit == 0 || peak <= freedom.limit;
  return {options.split,
          options.whole,
          step_seconds(plan, machine),
          peak,
          freedom.kernels != nullptr,
          within && fits(memory, machine)};
}

ConsideredSplit consider(const Network& network, PlanOptions options, const Machine& machine,
                         const SplitFreedom& freedom) {
  const bool one_memory = std::all_of(options.devices.begin(), options.devices.end(), [&](const PlanDevice& device) {
    return device.memory == options.devices[0].memory;
  });
  if (freedom.exchange.topology) {
    options.topology = one_memory ? ExchangeTopology::shared : ExchangeTopology::direct;
  }
  MemoryOf memory;
  if (freedom.kernels) memory = freedom.kernels(build_unchecked(network, options));
  const auto choose = [&] {
    if (options.topology != ExchangeTopology::shared && options.groups() > 1)
      choose_exchange(network, options, machine, freedom.exchange, memory);
  };
  const ExchangeContent content = options.content;
  choose();
  if (freedom.layers && options.split > 1) {
    options.whole = better_whole(network, options, machine, memory);
    if (!options.whole.empty()) {
      options.content = content;
      choose();
    }
  }
  options.deferred = choose_deferred(network, options, machine, freedom.deferred, memory).deferred;
  ConsideredSplit way = as_it_fits(network, options, machine, freedom);
  if (options.whole.empty() || way.fits) return way;
  SplitFreedom divided = freedom;
  divided.layers = false;
  options.whole.clear();
  options.content = content;
  return consider(network, options, machine, divided);
}

}  // namespace

std::vector<ConsideredSplit> consider_splits(const Network& network, const PlanOptions& options, const Machine& machine,
                                             const SplitFreedom& freedom) {
  std::vector<ConsideredSplit> splits;
  for (int split = 1; split <= static_cast<int>(options.devices.size()); ++split) {
    if (options.devices.size() % static_cast<std::size_t>(split) != 0) continue;
    PlanOptions tried = options;
    tried.split = split;
    const std::int64_t together = tried.pass_rows > 0 ? std::min(tried.rows, tried.pass_rows) : tried.rows;
    if (together < tried.groups()) continue;
    // Planning takes time with the square of a group's devices.
    if (split > 1 && network.layers.size() * options.devices.size() * static_cast<std::size_t>(split) > kMostPlanned)
      continue;
    try {
      splits.push_back(consider(network, tried, machine, freedom));
    } catch (const ConfigError&) {  // what a layer must be does not go with it
    }
  }
  std::stable_sort(splits.begin(), splits.end(), [](const ConsideredSplit& a, const ConsideredSplit& b) {
    return a.fits != b.fits ? a.fits : a.step_seconds < b.step_seconds;
  });
  // Rounding does not decide.
  const auto ties = std::find_if(splits.begin(), splits.end(), [&](const ConsideredSplit& other) {
    return other.fits != splits[0].fits || other.step_seconds > splits[0].step_seconds * (1 + 1e-9);
  });
  std::sort(splits.begin(), ties, [](const auto& a, const auto& b) { return a.split < b.split; });
  return splits;
}

Gain what_it_buys(const ConsideredSplit& way, const std::vector<ConsideredSplit>& all) {
  constexpr double kMuch = 0.99;
  const auto data = std::find_if(all.begin(), all.end(), [](const ConsideredSplit& other) { return other.split == 1; });
  if (data == all.end() || way.split == 1) return Gain::none;
  if (way.fits && !data->fits) return Gain::fits;
  const bool time = way.step_seconds < kMuch * data->step_seconds;
  const bool memory = static_cast<double>(way.peak_bytes) < kMuch * static_cast<double>(data->peak_bytes);
  return time && memory ? Gain::both : time ? Gain::time : memory ? Gain::memory : Gain::none;
}

const char* to_string(Gain gain) {
  switch (gain) {
    case Gain::none:
      return "nothing";
    case Gain::time:
      return "time";
    case Gain::memory:
      return "memory";
    case Gain::both:
      return "time and memory";
    case Gain::fits:
      return "that it fits";
  }
  return "";
}

bool may_defer(const PlanOptions& options) {
  return options.groups() > 1 && options.topology != ExchangeTopology::shared && options.clip_norm == 0 &&
         options.pass_rows == 0;
}

DeferredChoice choose_deferred(const Network& network, const PlanOptions& options, const Machine& machine,
                               std::optional<int> updates, const MemoryOf& memory) {
  constexpr int kTries = 8, kTriesOfLarge = 3;
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
    if (seconds >= least || !(updates || fits(plan, machine, memory))) return;
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
