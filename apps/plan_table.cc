#include "apps/plan_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/terminal.h"

namespace hadal {

namespace {

std::string layer_rows(const PlanView& view) {
  std::size_t name_width = 5;
  for (const Layer& layer : view.network.layers) name_width = std::max(name_width, layer.name.size());
  const bool split = view.plan.split > 1;
  std::string text = fmt::format("  {:<{}}  {:<15}  {:<14}  {:>12}  {:>12}  {}{}\n", "layer", name_width, "type",
                                 "output", "parameters", "MFLOP", split ? "parts  transfers  " : "", "exchange");
  for (std::size_t l = 0; l < view.network.layers.size(); ++l) {
    const Layer& layer = view.network.layers[l];
    std::int64_t parameters = 0;
    for (const int p : {layer.weight, layer.bias}) {
      if (p >= 0) parameters += elements(view.network.parameters[p].shape);
    }
    const std::size_t bytes = view.plan.layer_transfer_bytes[l];
    const std::string parts =
        fmt::format("{:>5}  {:>9}  ", view.plan.parts[l] > 1 ? std::to_string(view.plan.parts[l]) : "whole",
                    bytes > 0 ? format_bytes(static_cast<double>(bytes)) : "-");
    const bool exchanges = static_cast<int>(view.plan.devices.size()) > view.plan.split;
    text += fmt::format("  {:<{}}  {:<15}  {:<14}  {:>12}  {:>12.3f}  {}{}\n", layer.name, name_width, layer.type,
                        to_string(layer.output), parameters > 0 ? format_count(static_cast<double>(parameters)) : "-",
                        static_cast<double>(layer.forward_flops) / 1e6, split ? parts : "",
                        layer.weight >= 0 && exchanges ? to_string(view.plan.content[l]) : "-");
  }
  return text;
}

// The ways to exchange that were considered, and the links that are busy for the longest part of a step.
std::string machine_rows(const PlanView& view) {
  constexpr std::size_t kShown = 6;
  const Machine& machine = view.prediction.machine;
  const Simulation& simulation = view.prediction.simulation;
  std::string text = fmt::format("  machine: {}\n", machine.name);
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    const double has = machine.devices[d].memory_bytes;
    double needs = 0;  // of all devices with this one's memory
    for (std::size_t other = 0; other < machine.devices.size(); ++other) {
      const bool same = view.plan.devices[other].memory == view.plan.devices[d].memory;
      needs += same ? static_cast<double>(view.memory.use[other].peak) : 0;
    }
    if (has > 0 && needs > has) {
      text += fmt::format("  {} has only {} of memory, and needs {}\n", view.plan.devices[d].name, format_bytes(has),
                          format_bytes(needs));
    }
  }
  std::string ways;
  for (const Considered& way : view.prediction.considered) {
    ways += fmt::format("{}{}{} {:.2f} ms", ways.empty() ? "" : ", ", to_string(way.topology),
                        way.content == ExchangeContent::gradients ? " of gradients" : "", way.step_seconds * 1e3);
    if (!way.fits) ways += " (does not fit)";
  }
  if (!ways.empty()) text += fmt::format("  exchange as {}, the first is taken\n", ways);
  std::string divisions;
  for (const ConsideredSplit& way : view.prediction.splits) {
    const int devices = static_cast<int>(view.plan.devices.size());
    divisions += fmt::format("{}{} x {} {:.2f} ms and {}{}", divisions.empty() ? "" : ", ", devices / way.split,
                             way.split, way.step_seconds * 1e3, format_bytes(static_cast<double>(way.peak_bytes)),
                             way.fits ? "" : " (does not fit)");
  }
  if (!divisions.empty()) text += fmt::format("  groups x split, with the largest device's memory: {}\n", divisions);
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
  if (view.plan.split > 1) {
    text += fmt::format(
        "  {} of {} devices; they bring each other {} a step\n",
        view.plan.devices.size() == static_cast<std::size_t>(view.plan.split)
            ? "one group"
            : fmt::format("{} groups", view.plan.devices.size() / static_cast<std::size_t>(view.plan.split)),
        view.plan.split, format_bytes(static_cast<double>(view.plan.transfer_bytes())));
  }
  if (view.plan.devices.size() > 1) {
    if (view.plan.links.empty()) {
      text += fmt::format("  exchange: nothing is copied; {} a step are read where they lie\n",
                          format_bytes(static_cast<double>(view.plan.remote_read_bytes)));
    } else {
      text += fmt::format("  exchange: {} a step{} over {} links; the busiest carries {}\n",
                          format_bytes(static_cast<double>(view.plan.exchange_bytes())),
                          view.plan.split > 1 ? "; both" : "", view.plan.links.size(),
                          format_bytes(static_cast<double>(
                              std::max_element(view.plan.links.begin(), view.plan.links.end(),
                                               [](const LinkBytes& a, const LinkBytes& b) { return a.bytes < b.bytes; })
                                  ->bytes)));
    }
  }
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
