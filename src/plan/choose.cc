#include "plan/choose.h"

#include <algorithm>

#include "plan/simulate.h"

namespace hadal {

namespace {

bool sends_factors(const Plan& plan) {
  return std::find(plan.content.begin(), plan.content.end(), ExchangeContent::factors) != plan.content.end();
}

}  // namespace

std::vector<Considered> choose_exchange(const Network& network, PlanOptions& options, const Machine& machine,
                                        const Freedom& freedom) {
  std::vector<ExchangeTopology> topologies{options.topology};
  if (freedom.topology) {
    topologies = {ExchangeTopology::direct};
    // Two devices have one way to each other.
    if (options.devices.size() > 2) {
      topologies.insert(topologies.end(), {ExchangeTopology::line, ExchangeTopology::tree, ExchangeTopology::ring});
    }
  }
  std::vector<Considered> ways;
  for (const ExchangeTopology topology : topologies) {
    PlanOptions tried = options;
    tried.topology = topology;
    const Plan plan = build_plan(network, tried);
    ways.push_back({topology, tried.content, simulate(plan, machine).step_seconds});
    if (!freedom.content || options.reproducible_shards > 0 || !sends_factors(plan)) continue;
    tried.content = ExchangeContent::gradients;
    ways.push_back({topology, tried.content, simulate(build_plan(network, tried), machine).step_seconds});
  }
  // Rounding does not decide.
  std::stable_sort(ways.begin(), ways.end(), [](const Considered& a, const Considered& b) {
    return a.step_seconds < b.step_seconds * (1 - 1e-9);
  });
  options.topology = ways[0].topology;
  options.content = ways[0].content;
  return ways;
}

}  // namespace hadal
