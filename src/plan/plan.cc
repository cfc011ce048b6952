#include "plan/plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "plan/builder.h"
#include "plan/divide.h"
#include "plan/verify.h"

namespace hadal {

namespace {

// Sums the plan's transfers by link and by layer, and its loads by device.
void count_traffic(Plan& plan) {
  std::map<std::pair<int, int>, std::size_t> links;
  plan.load_bytes.assign(plan.devices.size(), 0);
  plan.layer_exchange_bytes.assign(plan.content.size(), 0);
  plan.layer_transfer_bytes.assign(plan.content.size(), 0);
  plan.group_bytes = 0;
  for (const Step& step : plan.steps) {
    if (std::holds_alternative<Load>(step.body)) {
      const Range& to = step.writes[0];
      plan.load_bytes[step.device] += static_cast<std::size_t>(to.count) * size_of(plan.tensors[to.tensor].type);
    }
    const auto* transfer = std::get_if<Transfer>(&step.body);
    if (!transfer || transfer->to == step.device) continue;
    links[{step.device, transfer->to}] += transfer->bytes();
    const bool in_group = step.device / plan.split == transfer->to / plan.split;
    if (in_group) plan.group_bytes += transfer->bytes();
    if (step.layer >= 0)
      (in_group ? plan.layer_transfer_bytes : plan.layer_exchange_bytes)[step.layer] += transfer->bytes();
  }
  plan.links.clear();
  for (const auto& [ends, bytes] : links) plan.links.push_back({ends.first, ends.second, bytes});
}

}  // namespace

std::size_t Plan::exchange_bytes() const {
  std::size_t sum = 0;
  for (const LinkBytes& link : links) sum += link.bytes;
  return sum - transfer_bytes();
}

std::size_t Plan::transfer_bytes() const { return group_bytes; }

int Plan::deferred_layers() const {
  std::set<int> layers;
  for (const Step& step : steps) {
    if (step.deferred) layers.insert(step.layer);
  }
  return static_cast<int>(layers.size());
}

std::int64_t Plan::rows_of_a_pass() const {
  std::int64_t most = 0;
  for (const std::vector<RowSpan>& pass : passes) {
    std::int64_t together = 0;
    for (std::size_t d = 0; d < pass.size(); d += static_cast<std::size_t>(split)) together += pass[d].count;
    most = std::max(most, together);
  }
  return most;
}

std::size_t Plan::waits() const {
  std::size_t sum = 0;
  for (const Step& step : steps) sum += step.waits.size() + step.room_waits.size();
  return sum;
}

ExchangeContent exchange_content(const Network& network, int l, const PlanOptions& options) {
  const Layer& layer = network.layers[l];
  if (layer.weight < 0) return ExchangeContent::automatic;
  if (std::holds_alternative<BatchNormOptions>(layer.options)) return ExchangeContent::statistics;
  if (!std::holds_alternative<FullyConnectedOptions>(layer.options) || options.device_states)
    return ExchangeContent::gradients;
  const std::int64_t in = elements(network.shape_of(layer.inputs[0]));
  // Under reproducible this choice is part of the result, which no division may change.
  const bool fixed = options.reproducible_shards > 0;
  const std::int64_t out =
      fixed ? layer.output[0]
            : Division(network, options.split, options.smallest_part, 1, options.whole).computed(l, 0).count;
  const ExchangeContent fewer =
      options.batch * (in + out) < in * out ? ExchangeContent::factors : ExchangeContent::gradients;
  // Alone in its partition, a device exchanges nothing: it forms and applies the gradient of an output at once, unless
  // it would have to keep the rows of all passes for that.
  const bool alone = options.groups() == 1;
  if (options.content == ExchangeContent::automatic && alone && !fixed) {
    return options.pass_rows == 0 ? ExchangeContent::factors : ExchangeContent::gradients;
  }
  if (options.content == ExchangeContent::automatic) return fewer;
  if (fixed && options.content != fewer) {
    const bool factors = fewer == ExchangeContent::factors;
    throw ConfigError("exchange.content: " + std::string(factors ? "gradients" : "factors") + " goes against " +
                      "reproducible: true, under which '" + layer.name + "' exchanges " +
                      (factors ? "factors" : "gradients") + " (this choice is part of the result): use content: auto");
  }
  return options.content;
}

Plan build_unchecked(const Network& network, const PlanOptions& options) {
  Plan plan = PlanBuilder(network, options).build();
  count_traffic(plan);
  return plan;
}

Plan build_plan(const Network& network, const PlanOptions& options) {
  Plan plan = build_unchecked(network, options);
  const std::string error = exchange_error(plan, network);
  if (!error.empty()) throw std::logic_error("a plan that does not exchange what it should: " + error);
  return plan;
}

Plan part_of(const Plan& continues, Deferral part) {
  HADAL_CHECK(continues.deferral == Deferral::continues);
  const bool ends = part == Deferral::ends;
  Plan plan = continues;
  plan.deferral = part;
  std::erase_if(plan.steps, [&](const Step& step) { return step.deferred != ends; });
  for (Step& step : plan.steps) step.waits.clear(), step.room_waits.clear();
  if (ends) plan.results.clear();
  synchronise(plan);
  wait_for_room(plan);
  count_traffic(plan);
  return plan;
}

}  // namespace hadal
