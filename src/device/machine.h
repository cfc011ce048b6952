#pragma once
// A machine as data: its devices, and the links that join them, their switches and the host's memory.
//
// A copy goes along the shortest path of links (the fewest; of several, the one whose slowest link is the fastest, then
// the one that the order of the links makes first), through devices too, and occupies all of it at once: it begins
// after the sum of their latencies, and flows at the rate of its slowest port, where a port's bytes a second are
// divided equally among the copies that flow through it.

#include <string>
#include <vector>

namespace hadal {

struct DeviceSpeed {
  double flops_per_second = 50e9;         // of matrix products and convolutions
  double memory_bytes_per_second = 10e9;  // of everything else: what a kernel reads and writes
  double kernel_seconds = 1e-6;           // of every kernel, however small
};

struct LinkSpeed {
  double bytes_per_second = 6e9;
  double latency_seconds = 10e-6;
};

struct MachineDevice {
  std::string name;
  DeviceSpeed speed;
  double memory_bytes = 0;  // 0: not said
  int memory = 0;           // devices with the same one address each other's tensors
};

// Between two nodes.
struct MachineLink {
  int a = 0, b = 0;
  LinkSpeed speed;
  bool full_duplex = true;  // false: what goes one way and what goes the other share the bytes a second
};

struct Machine {
  std::string name;
  std::vector<MachineDevice> devices;  // nodes 0 ... devices - 1
  std::vector<std::string> switches;   // the nodes after them
  std::vector<MachineLink> links;
  int host = -1;  // the node at the host's memory, from which batches come; -1: they take no time

  int nodes() const { return static_cast<int>(devices.size() + switches.size()); }
  const std::string& node_name(int node) const;

  // A port is one direction of a link, 2 * link from a to b and 2 * link + 1 back; or both, 2 * link.
  int ports() const { return 2 * static_cast<int>(links.size()); }
  std::string port_name(int port) const;  // "card0 -> switch0", "root0 <-> root1"
  const LinkSpeed& speed_of_port(int port) const { return links[static_cast<std::size_t>(port / 2)].speed; }
};

// The ports on the way, in order. Empty where `from` is `to` or there is no way.
std::vector<int> route(const Machine& machine, int from, int to);

// A route, and the sum of its latencies.
struct Way {
  std::vector<int> ports;
  double latency_seconds = 0;
};

Way way_between(const Machine& machine, int from, int to);

// Every device and the host on one switch, each by a full-duplex link of this speed; `latency_seconds` is that of the
// way from one to another.
Machine uniform_machine(int devices, const LinkSpeed& link);

// The same machine with these devices in this order; those left out only pass on what others send.
Machine select_devices(const Machine& machine, const std::vector<int>& devices);

}  // namespace hadal
