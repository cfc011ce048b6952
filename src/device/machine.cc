#include "device/machine.h"

#include <algorithm>
#include <limits>

namespace hadal {

const std::string& Machine::node_name(int node) const {
  const auto index = static_cast<std::size_t>(node);
  return index < devices.size() ? devices[index].name : switches[index - devices.size()];
}

std::string Machine::port_name(int port) const {
  const MachineLink& link = links[static_cast<std::size_t>(port / 2)];
  const bool back = port % 2 == 1;
  return node_name(back ? link.b : link.a) + (link.full_duplex ? " -> " : " <-> ") + node_name(back ? link.a : link.b);
}

std::vector<int> route(const Machine& machine, int from, int to) {
  // Breadth first, from the end: each node's port is its first step towards `to`. A node is passed on from after all
  // ways of fewer links are known, so that the fastest of those is.
  constexpr int kNone = -1;
  std::vector<int> port(static_cast<std::size_t>(machine.nodes()), kNone), next(port.size(), kNone), reached{to};
  std::vector<int> hops(port.size());
  std::vector<double> slowest(port.size(), std::numeric_limits<double>::infinity());  // bytes a second, on the way
  for (std::size_t i = 0; i < reached.size() && reached[i] != from; ++i) {
    const int node = reached[i];
    for (std::size_t l = 0; l < machine.links.size(); ++l) {
      const MachineLink& link = machine.links[l];
      if (link.a != node && link.b != node) continue;
      const int other = link.a == node ? link.b : link.a;
      const auto o = static_cast<std::size_t>(other), n = static_cast<std::size_t>(node);
      const double speed = std::min(slowest[n], link.speed.bytes_per_second);
      const bool is_new = port[o] == kNone;
      if (other == to || (!is_new && (hops[o] != hops[n] + 1 || speed <= slowest[o]))) continue;
      const bool back = link.full_duplex && other == link.b;
      port[o] = 2 * static_cast<int>(l) + (back ? 1 : 0);
      next[o] = node;
      hops[o] = hops[n] + 1;
      slowest[o] = speed;
      if (is_new) reached.push_back(other);
    }
  }
  std::vector<int> ports;
  for (int at = from; at != to && port[static_cast<std::size_t>(at)] != kNone;
       at = next[static_cast<std::size_t>(at)]) {
    ports.push_back(port[static_cast<std::size_t>(at)]);
  }
  return ports;
}

Way way_between(const Machine& machine, int from, int to) {
  Way way{route(machine, from, to)};
  for (const int port : way.ports) way.latency_seconds += machine.speed_of_port(port).latency_seconds;
  return way;
}

Machine uniform_machine(int devices, const LinkSpeed& link) {
  Machine machine{.name = "one switch", .switches = {"switch", "host"}, .host = devices + 1};
  const LinkSpeed half{link.bytes_per_second, link.latency_seconds / 2};
  for (int d = 0; d < devices; ++d) {
    machine.devices.push_back({.name = "device" + std::to_string(d), .memory = d});
    machine.links.push_back({d, devices, half, true});
  }
  machine.links.push_back({devices + 1, devices, half, true});
  return machine;
}

Machine select_devices(const Machine& machine, const std::vector<int>& devices) {
  std::vector<int> place(static_cast<std::size_t>(machine.nodes()));
  Machine result{.name = machine.name};
  for (const int device : devices) {
    place[static_cast<std::size_t>(device)] = static_cast<int>(result.devices.size());
    result.devices.push_back(machine.devices[static_cast<std::size_t>(device)]);
  }
  for (int node = 0; node < machine.nodes(); ++node) {
    if (std::find(devices.begin(), devices.end(), node) != devices.end()) continue;
    place[static_cast<std::size_t>(node)] = result.nodes();
    result.switches.push_back(machine.node_name(node));
  }
  const auto placed = [&](int node) { return node < 0 ? node : place[static_cast<std::size_t>(node)]; };
  for (MachineLink link : machine.links) {
    link.a = placed(link.a);
    link.b = placed(link.b);
    result.links.push_back(link);
  }
  result.host = placed(machine.host);
  return result;
}

}  // namespace hadal
