#include "plan/misfit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace hadal {

namespace {

// Of all devices with this one's memory.
double needs(const MemoryPlan& memory, const Machine& machine, std::size_t device) {
  double sum = 0;
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    if (machine.devices[d].memory == machine.devices[device].memory) sum += static_cast<double>(memory.use[d].peak);
  }
  return sum;
}

bool is_too_small(const MemoryPlan& memory, const Machine& machine, std::size_t device) {
  const double has = machine.devices[device].memory_bytes;
  return has > 0 && needs(memory, machine, device) > has;
}

const char* use_of(TensorKind kind) {
  switch (kind) {
    case TensorKind::parameter:
    case TensorKind::state:
      return "weights and state";
    case TensorKind::gradient:
      return "gradients";
    default:
      return "activations";
  }
}

// By tensor: the layer that first writes it or, of parameters and states, whose they are; -1: none.
std::vector<int> layers_of_tensors(const Plan& plan, const Network& network) {
  std::vector<int> layers(plan.tensors.size(), -1);
  const auto set = [&](int tensor, int layer) {
    if (tensor >= 0) layers[static_cast<std::size_t>(tensor)] = layer;
  };
  for (auto step = plan.steps.rbegin(); step != plan.steps.rend(); ++step) {
    for (const Range& range : step->writes) set(range.tensor, step->layer);
  }
  for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
    for (const std::vector<int>* tensors : {&plan.parameters[p].tensor, &plan.parameters[p].squares}) {
      for (const int tensor : *tensors) set(tensor, network.parameters[p].layer);
    }
  }
  for (const OwnedRange& owned : plan.owned) {
    const int layer = network.parameters[static_cast<std::size_t>(owned.parameter)].layer;
    set(owned.master, layer);
    for (const int state : owned.states) set(state, layer);
  }
  return layers;
}

std::vector<Misfit::User> largest_users(const Plan& plan, const Network& network, int device) {
  constexpr std::size_t kShown = 3;
  const std::vector<int> layers = layers_of_tensors(plan, network);
  std::map<std::pair<int, std::string>, std::size_t> bytes;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.tensors[t].device == device) bytes[{layers[t], use_of(plan.tensors[t].kind)}] += plan.tensors[t].bytes();
  }
  std::vector<Misfit::User> users;
  for (const auto& [of, count] : bytes) {
    const std::string layer = of.first < 0 ? "input" : network.layers[static_cast<std::size_t>(of.first)].name;
    users.push_back({layer + " " + of.second, count});
  }
  std::stable_sort(users.begin(), users.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  users.resize(std::min(users.size(), kShown));
  return users;
}

}  // namespace

bool fits(const MemoryPlan& memory, const Machine& machine) {
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    if (is_too_small(memory, machine, d)) return false;
  }
  return true;
}

std::vector<Misfit> misfits(const Plan& plan, const Network& network, const MemoryPlan& memory,
                            const Machine& machine) {
  std::vector<Misfit> found;
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    const auto same = [&](const Misfit& other) {
      return machine.devices[static_cast<std::size_t>(other.device)].memory == machine.devices[d].memory;
    };
    if (!is_too_small(memory, machine, d) || std::any_of(found.begin(), found.end(), same)) continue;
    const auto device = static_cast<int>(d);
    found.push_back(
        {device, machine.devices[d].memory_bytes, needs(memory, machine, d), largest_users(plan, network, device)});
  }
  return found;
}

std::string describe(const Misfit& misfit, const Plan& plan) {
  std::string largest;
  for (const Misfit::User& user : misfit.largest) {
    largest +=
        fmt::format("{}{} {}", largest.empty() ? "" : ", ", user.name, bytes_in_words(static_cast<double>(user.bytes)));
  }
  return fmt::format("{} has {} of memory, and the plan needs {} there; largest: {}",
                     plan.devices[static_cast<std::size_t>(misfit.device)].name, bytes_in_words(misfit.has),
                     bytes_in_words(misfit.needs), largest);
}

std::string bytes_in_words(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) bytes /= 1000, ++unit;
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}

}  // namespace hadal
