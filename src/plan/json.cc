#include "plan/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hadal {

using nlohmann::ordered_json;

const char* to_string(ExchangeContent content) {
  switch (content) {
    case ExchangeContent::gradients:
      return "gradients";
    case ExchangeContent::factors:
      return "factors";
    case ExchangeContent::statistics:
      return "statistics";
    default:
      return "none";
  }
}

std::string why_so(const Plan& plan, const Network& network, int l) {
  const Layer& layer = network.layers[static_cast<std::size_t>(l)];
  if (plan.split == 1) return "";
  if (plan.parts[static_cast<std::size_t>(l)] > 1) return layer.split == LayerSplit::divide ? "asked" : "";
  if (layer.split == LayerSplit::whole) return "asked";
  if (std::find(plan.whole.begin(), plan.whole.end(), l) != plan.whole.end()) return "better";
  if (std::holds_alternative<ConcatOptions>(layer.options)) return "always";
  const auto* conv = std::get_if<ConvOptions>(&layer.options);
  if (conv != nullptr && conv->groups > 1) return "groups";
  return conv != nullptr || std::holds_alternative<FullyConnectedOptions>(layer.options) ? "narrow" : "as its input";
}

ordered_json plan_to_json(const Plan& plan, const Network& network, const MemoryPlan& memory,
                          const Prediction& prediction) {
  ordered_json json;
  json["rows"] = plan.rows;
  json["passes"] = plan.passes.size();
  json["rows_of_a_pass"] = plan.rows_of_a_pass();
  json["precision"] = plan.precision == DType::bf16 ? "bf16" : "fp32";
  json["devices"] = ordered_json::array();
  for (std::size_t d = 0; d < plan.devices.size(); ++d) {
    const MemoryUse& use = memory.use[d];
    json["devices"].push_back({{"name", plan.devices[d].name},
                               {"rows", plan.device_rows[d].count},
                               {"peak_bytes", use.peak},
                               {"live_bytes", use.live},
                               {"parameter_bytes", use.parameters},
                               {"gradient_bytes", use.gradients},
                               {"state_bytes", use.state},
                               {"activation_bytes", use.activations},
                               {"scratch_bytes", use.scratch},
                               {"input_bytes_per_step", plan.load_bytes[d]}});
  }
  json["layers"] = ordered_json::array();
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    std::int64_t parameters = 0;
    for (const int p : {layer.weight, layer.bias}) {
      if (p >= 0) parameters += elements(network.parameters[p].shape);
    }
    json["layers"].push_back({{"name", layer.name},
                              {"type", layer.type},
                              {"shape", layer.output},
                              {"parameters", parameters},
                              {"flops", layer.forward_flops},
                              {"split", plan.parts[l]},
                              {"split_reason", why_so(plan, network, static_cast<int>(l))},
                              {"transfer_bytes_per_step", plan.layer_transfer_bytes[l]},
                              {"exchange", to_string(plan.content[l])},
                              {"exchange_bytes_per_step", plan.layer_exchange_bytes[l]}});
  }
  const FitReport& fit = prediction.fit;
  const auto limit = std::max_element(fit.limit.begin(), fit.limit.end());
  json["memory"] = {{"limit_bytes", limit == fit.limit.end() ? 0 : *limit}, {"recomputed", fit.recomputed}};
  if (!fit.recomputed.empty()) {
    json["memory"]["kept_peak_bytes"] = fit.kept_peak_bytes;
    json["memory"]["kept_step_seconds"] = fit.kept_seconds;
  }
  json["topology"] = to_string(plan.topology);
  json["deferred_layers"] = plan.deferred_layers();
  json["split"] = plan.split;
  json["groups"] = plan.devices.size() / static_cast<std::size_t>(plan.split);
  json["split_is_auto"] = prediction.automatic_split;
  json["kept_whole"] = ordered_json::array();
  for (const int layer : plan.whole) json["kept_whole"].push_back(network.layers[static_cast<std::size_t>(layer)].name);
  json["transfer_bytes_per_step"] = plan.transfer_bytes();
  json["exchange_bytes_per_step"] = plan.exchange_bytes();
  json["remote_read_bytes_per_step"] = plan.remote_read_bytes;
  json["state_bytes_per_step"] = prediction.state_bytes_per_step();
  json["average_seconds"] = prediction.average_seconds;
  json["links"] = ordered_json::array();
  for (const LinkBytes& link : plan.links) {
    json["links"].push_back(
        {{"from", plan.devices[link.from].name}, {"to", plan.devices[link.to].name}, {"bytes_per_step", link.bytes}});
  }
  json["waits"] = plan.waits();
  const Simulation& simulation = prediction.simulation;
  json["machine"] = prediction.machine.name;
  json["ports"] = ordered_json::array();
  for (int port = 0; port < prediction.machine.ports(); ++port) {
    const auto index = static_cast<std::size_t>(port);
    if (simulation.port_bytes[index] == 0) continue;
    json["ports"].push_back({{"name", prediction.machine.port_name(port)},
                             {"bytes_per_step", simulation.port_bytes[index]},
                             {"busy_seconds", simulation.port_seconds[index]}});
  }
  json["considered"] = ordered_json::array();
  for (const Considered& way : prediction.considered) {
    json["considered"].push_back(
        {{"topology", to_string(way.topology)},
         {"content", way.content == ExchangeContent::automatic ? "auto" : to_string(way.content)},
         {"step_seconds", way.step_seconds},
         {"fits", way.fits}});
  }
  json["considered_splits"] = ordered_json::array();
  for (const ConsideredSplit& way : prediction.splits) {
    const std::size_t groups = plan.devices.size() / static_cast<std::size_t>(way.split);
    ordered_json kept = ordered_json::array();
    for (const int layer : way.whole) kept.push_back(network.layers[static_cast<std::size_t>(layer)].name);
    json["considered_splits"].push_back({{"split", way.split},
                                         {"groups", groups},
                                         {"parallelism", way.split == 1 ? "data"
                                                         : groups == 1  ? "model"
                                                                        : "hybrid"},
                                         {"step_seconds", way.step_seconds},
                                         {"peak_bytes", way.peak_bytes},
                                         {"with_scratch", way.with_scratch},
                                         {"fits", way.fits},
                                         {"kept_whole", std::move(kept)},
                                         {"buys", to_string(what_it_buys(way, prediction.splits))},
                                         {"taken", way.split == plan.split}});
  }
  json["compute_seconds"] = simulation.compute_seconds;
  json["step_seconds"] = prediction.step_seconds();
  json["undeferred_step_seconds"] = prediction.undeferred_seconds;
  json["bound_by"] = simulation.bound_by();
  return json;
}

ordered_json steps_to_json(const Plan& plan) {
  const auto ranges = [&](const std::vector<Range>& list) {
    ordered_json json = ordered_json::array();
    for (const Range& range : list) {
      const PlanTensor& tensor = plan.tensors[range.tensor];
      json.push_back({{"tensor", range.tensor},
                      {"name", tensor.name},
                      {"device", plan.devices[tensor.device].name},
                      {"type", to_string(tensor.type)},
                      {"first", range.first},
                      {"count", range.count}});
    }
    return json;
  };
  ordered_json json = ordered_json::array();
  for (const Step& step : plan.steps) {
    ordered_json entry{
        {"name", step.name}, {"device", plan.devices[step.device].name}, {"stream", to_string(step.stream)}};
    if (const auto* compute = std::get_if<Compute>(&step.body)) {
      entry["operator"] = op_name(compute->op);
    } else if (const auto* transfer = std::get_if<Transfer>(&step.body)) {
      entry["transfer"] = {{"to", plan.devices[transfer->to].name}, {"bytes", transfer->bytes()}};
    } else {
      entry["load"] = {{"batch_offset", std::get<Load>(step.body).batch_offset}};
    }
    entry["deferred"] = step.deferred;
    entry["again"] = step.again;
    entry["reads"] = ranges(step.reads);
    entry["writes"] = ranges(step.writes);
    entry["waits"] = step.waits;
    entry["room_waits"] = step.room_waits;
    json.push_back(std::move(entry));
  }
  return json;
}

}  // namespace hadal
