#include "apps/plan_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/terminal.h"
#include "plan/misfit.h"

namespace hadal {

namespace {

// "2", "whole (narrow)".
std::string parts_of(const PlanView& view, std::size_t l) {
  const std::string why = why_so(view.plan, view.network, static_cast<int>(l));
  return (view.plan.parts[l] > 1 ? std::to_string(view.plan.parts[l]) : "whole") +
         (why.empty() ? "" : " (" + why + ")");
}

std::string layer_rows(const PlanView& view) {
  std::size_t name_width = 5, parts_width = 5;
  for (const Layer& layer : view.network.layers) name_width = std::max(name_width, layer.name.size());
  for (std::size_t l = 0; l < view.network.layers.size(); ++l)
    parts_width = std::max(parts_width, parts_of(view, l).size());
  const bool split = view.plan.split > 1;
  std::string text = fmt::format("  {:<{}}  {:<15}  {:<14}  {:>12}  {:>12}  {}{}\n", "layer", name_width, "type",
                                 "output", "parameters", "MFLOP",
                                 split ? fmt::format("{:<{}}  transfers  ", "parts", parts_width) : "", "exchange");
  for (std::size_t l = 0; l < view.network.layers.size(); ++l) {
    const Layer& layer = view.network.layers[l];
    std::int64_t parameters = 0;
    for (const int p : {layer.weight, layer.bias}) {
      if (p >= 0) parameters += elements(view.network.parameters[p].shape);
    }
    const std::size_t bytes = view.plan.layer_transfer_bytes[l];
    const std::string parts = fmt::format("{:<{}}  {:>9}  ", parts_of(view, l), parts_width,
                                          bytes > 0 ? format_bytes(static_cast<double>(bytes)) : "-");
    const bool exchanges = static_cast<int>(view.plan.devices.size()) > view.plan.split;
    text += fmt::format("  {:<{}}  {:<15}  {:<14}  {:>12}  {:>12.3f}  {}{}\n", layer.name, name_width, layer.type,
                        to_string(layer.output), parameters > 0 ? format_count(static_cast<double>(parameters)) : "-",
                        static_cast<double>(layer.forward_flops) / 1e6, split ? parts : "",
                        layer.weight >= 0 && exchanges ? to_string(view.plan.content[l]) : "-");
  }
  return text;
}

// What a division costs beside pure data parallelism, and what that buys.
std::string beside_data(const ConsideredSplit& way, const std::vector<ConsideredSplit>& all) {
  const auto data = std::find_if(all.begin(), all.end(), [](const ConsideredSplit& other) { return other.split == 1; });
  if (!way.fits) return "does not fit";
  if (way.split == 1 || data == all.end()) return "";
  const auto change = [](double now, double before) { return fmt::format("{:+.1f} %", 100 * (now / before - 1)); };
  std::string text = fmt::format("time {}, memory {}", change(way.step_seconds, data->step_seconds),
                                 change(static_cast<double>(way.peak_bytes), static_cast<double>(data->peak_bytes)));
  switch (what_it_buys(way, all)) {
    case Gain::none:
      return text + ": buys nothing";
    case Gain::time:
      return text + ": buys only time";
    case Gain::memory:
      return text + ": buys only memory";
    case Gain::both:
      return text + ": buys time and memory";
    case Gain::fits:
      return text + ": fits, which data parallelism does not";
  }
  return text;
}

// What pure data parallelism, one model on all devices, and what lies between them would cost.
std::string split_rows(const PlanView& view) {
  const std::vector<ConsideredSplit>& ways = view.prediction.splits;
  if (ways.empty()) return "";
  const bool scratch = ways[0].with_scratch;
  std::string text = fmt::format("  groups x split: a step, and the largest device's memory{}\n",
                                 scratch ? "" : " without the kernels' scratch");
  for (const ConsideredSplit& way : ways) {
    const int groups = static_cast<int>(view.plan.devices.size()) / way.split;
    const std::string beside = beside_data(way, ways);
    text += fmt::format("  {} {:>3} x {:<3} {:<14} {:>9.2f} ms  {:>8}{}{}\n", way.split == view.plan.split ? ">" : " ",
                        groups, way.split,
                        way.split == 1 ? "data parallel"
                        : groups == 1  ? "one model"
                                       : "hybrid",
                        way.step_seconds * 1e3, format_bytes(static_cast<double>(way.peak_bytes)),
                        beside.empty() ? "" : "  ", beside);
  }
  return text;
}

// How the devices divide the model, where that was chosen.
std::string choice_rows(const PlanView& view) {
  if (!view.prediction.automatic_split) return "";
  std::string text =
      fmt::format("  split: auto is {}{}\n", view.plan.split,
                  view.prediction.splits.empty() ? "" : ", the fastest of what fits on this machine as predicted");
  std::string kept;
  for (const int layer : view.plan.whole) kept += (kept.empty() ? "" : ", ") + view.network.layers[layer].name;
  const bool all_alike = view.plan.split > 1 && std::all_of(view.plan.parts.begin(), view.plan.parts.end(),
                                                            [](int parts) { return parts == 1; });
  if (all_alike) text += "  no layer is divided: the devices of a group do the same; fewer would be as fast\n";
  if (!kept.empty()) text += "  not divided, since a step is shorter so, or only so fits: " + kept + "\n";
  return text;
}

// The ways to exchange that were considered, and the links that are busy for the longest part of a step.
std::string machine_rows(const PlanView& view) {
  constexpr std::size_t kShown = 6;
  const Machine& machine = view.prediction.machine;
  const Simulation& simulation = view.prediction.simulation;
  std::string text = fmt::format("  machine: {}\n", machine.name);
  for (const Misfit& misfit : misfits(view.plan, view.network, view.memory, machine)) {
    text += "  does not fit: " + describe(misfit, view.plan) + "\n";
  }
  std::string ways;
  for (const Considered& way : view.prediction.considered) {
    ways += fmt::format("{}{}{} {:.2f} ms", ways.empty() ? "" : ", ", to_string(way.topology),
                        way.content == ExchangeContent::gradients ? " of gradients" : "", way.step_seconds * 1e3);
    if (!way.fits) ways += " (does not fit)";
  }
  if (!ways.empty()) text += fmt::format("  exchange as {}, the first is taken\n", ways);
  text += choice_rows(view);
  text += split_rows(view);
  std::vector<std::size_t> ports;
  for (std::size_t port = 0; port < simulation.port_seconds.size(); ++port) {
    if (simulation.port_bytes[port] > 0) ports.push_back(port);
  }
  std::stable_sort(ports.begin(), ports.end(), [&](std::size_t a, std::size_t b) {
    return simulation.port_seconds[a] > simulation.port_seconds[b];
  });
  const std::size_t shown = std::min(ports.size(), kShown);
  if (view.plan.links.empty()) return text;
  for (std::size_t i = 0; i < shown; ++i) {
    text += fmt::format("  {:<24} {:>9} a step, busy {:>5.1f} % of it\n", machine.port_name(static_cast<int>(ports[i])),
                        format_bytes(static_cast<double>(simulation.port_bytes[ports[i]])),
                        100 * simulation.port_seconds[ports[i]] / simulation.step_seconds);
  }
  if (ports.size() > shown) text += fmt::format("  ... and {} less busy directions of links\n", ports.size() - shown);
  return text;
}

}  // namespace

namespace {

// What devices of a group bring each other, what groups exchange, and the links that both take.
std::string exchange_rows(const Plan& plan) {
  const std::size_t devices = plan.devices.size();
  const auto split = static_cast<std::size_t>(plan.split);
  const auto bytes = [](std::size_t count) { return format_bytes(static_cast<double>(count)); };
  std::string links;
  if (!plan.links.empty()) {
    const auto busiest = std::max_element(plan.links.begin(), plan.links.end(),
                                          [](const LinkBytes& a, const LinkBytes& b) { return a.bytes < b.bytes; });
    links = fmt::format(" over {} links; the busiest carries {}", plan.links.size(), bytes(busiest->bytes));
  }
  const bool shared = plan.topology == ExchangeTopology::shared;
  std::string text;
  if (split > 1) {
    text += fmt::format("  {} of {} devices; they bring each other {} a step{}\n",
                        devices == split ? "one group" : fmt::format("{} groups", devices / split), split,
                        bytes(plan.transfer_bytes()), shared ? links : "");
  }
  if (shared && devices > split) {
    text += fmt::format("  exchange: nothing is copied; {} a step are read where they lie\n",
                        bytes(plan.remote_read_bytes));
  } else if (!shared && devices > 1) {
    text += fmt::format("  exchange: {} a step{}{}\n", bytes(plan.exchange_bytes()), split > 1 ? "; both" : "", links);
  }
  return text;
}

// What backward computes again, and what that costs.
std::string recompute_rows(const PlanView& view) {
  const FitReport& fit = view.prediction.fit;
  if (fit.recomputed.empty()) return "";
  std::string names;
  for (const std::string& name : fit.recomputed) names += (names.empty() ? "" : ", ") + name;
  const auto limit = std::max_element(fit.limit.begin(), fit.limit.end());
  const double now = view.prediction.simulation.step_seconds;
  return fmt::format("  backward computes again what is not kept{}: {}\n",
                     *limit > 0 ? " to fit into " + format_bytes(static_cast<double>(*limit)) : "", names) +
         fmt::format("  if all were kept: {} a device, {:.2f} ms a step; computing again takes {:.1f} % of a step\n",
                     format_bytes(static_cast<double>(fit.kept_peak_bytes)), fit.kept_seconds * 1e3,
                     100 * (now - fit.kept_seconds) / now);
}

}  // namespace

std::string memory_rows(const PlanView& view) {
  std::string text;
  for (std::size_t d = 0; d < view.plan.devices.size(); ++d) {
    const FullestMoment& moment = view.memory.fullest[d];
    const MemoryUse& use = view.memory.use[d];
    text += fmt::format("  {} is fullest in {}: {} live then, in {}\n", view.plan.devices[d].name,
                        view.plan.steps[static_cast<std::size_t>(moment.step)].name,
                        format_bytes(static_cast<double>(use.live)), format_bytes(static_cast<double>(use.peak)));
    std::vector<int> tensors = moment.tensors;
    std::stable_sort(tensors.begin(), tensors.end(), [&](int a, int b) {
      return view.plan.tensors[static_cast<std::size_t>(a)].bytes() >
             view.plan.tensors[static_cast<std::size_t>(b)].bytes();
    });
    text += fmt::format("    {:>8}  parameters\n    {:>8}  state\n", format_bytes(static_cast<double>(use.parameters)),
                        format_bytes(static_cast<double>(use.state)));
    for (const int tensor : tensors) {
      const PlanTensor& of = view.plan.tensors[static_cast<std::size_t>(tensor)];
      text += fmt::format("    {:>8}  {}\n", format_bytes(static_cast<double>(of.bytes())), of.name);
    }
  }
  return text;
}

std::string plan_table(const PlanView& view, bool layers) {
  std::string text;
  if (layers) text += layer_rows(view);
  text += fmt::format("  {} parameters, {:.1f} MFLOP a sample and training step; backend {}, {}, {} core{} a device\n",
                      format_count(static_cast<double>(view.network.parameter_elements())),
                      static_cast<double>(view.network.training_flops()) / 1e6, view.backend,
                      view.plan.precision == DType::bf16 ? "bf16" : "fp32", view.threads, view.threads == 1 ? "" : "s");
  for (std::size_t d = 0; d < view.plan.devices.size(); ++d) {
    const MemoryUse& use = view.memory.use[d];
    text +=
        fmt::format("  {:<7} {:>4} rows   {:>8} (parameters {}, state {}, gradients {}, activations {}, scratch {})\n",
                    view.plan.devices[d].name, view.plan.device_rows[d].count,
                    format_bytes(static_cast<double>(use.peak)), format_bytes(static_cast<double>(use.parameters)),
                    format_bytes(static_cast<double>(use.state)), format_bytes(static_cast<double>(use.gradients)),
                    format_bytes(static_cast<double>(use.activations)), format_bytes(static_cast<double>(use.scratch)));
  }
  text += recompute_rows(view);
  text += exchange_rows(view.plan);
  if (const int deferred = view.plan.deferred_layers(); deferred > 0) {
    text += fmt::format(
        "  the exchange of the first {} of the layers that send gradients is left to the next step's forward pass: "
        "{:.2f} ms a step instead of {:.2f}\n",
        deferred, 1e3 * view.prediction.simulation.step_seconds, 1e3 * view.prediction.undeferred_seconds);
  }
  if (view.plan.passes.size() > 1) {
    text +=
        fmt::format("  {} passes a step, of at most {} rows\n", view.plan.passes.size(), view.plan.rows_of_a_pass());
  }
  if (view.prediction.average_every > 0) {
    const std::int64_t every = view.prediction.average_every;
    text += fmt::format("  states: the devices' own; averaged {}: {} and {:.2f} ms, {} a step\n",
                        every == 1 ? "after each step" : fmt::format("every {} steps", every),
                        format_bytes(static_cast<double>(view.prediction.average_bytes)),
                        1e3 * view.prediction.average_seconds,
                        format_bytes(static_cast<double>(view.prediction.state_bytes_per_step())));
  }
  text += machine_rows(view);
  text += fmt::format("  {} steps, {} waits; estimated {:.2f} ms a step, bound by {}\n", view.plan.steps.size(),
                      view.plan.waits(), view.prediction.step_seconds() * 1e3, view.prediction.simulation.bound_by());
  return text;
}

}  // namespace hadal
