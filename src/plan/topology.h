#pragma once
// The ways that what is exchanged takes between devices: pure functions of the topology, the number of devices and the
// owner.

#include <vector>

namespace hadal {

// shared: one memory, nothing is copied. direct: from everyone to the owner and back. line: from neighbour to neighbour
// in the order of the job's devices. tree: along the edges of a balanced tree of the devices in that order. ring:
// always to the next device, from the last one to the first.
enum class ExchangeTopology { shared, direct, line, tree, ring };

const char* to_string(ExchangeTopology topology);  // as in a job

// The ways to and from one owner: two trees with the owner at their root.
struct Route {
  // Of any topology but `shared`.
  Route(ExchangeTopology topology, int devices, int owner);

  std::vector<int> gather;      // by device: to whom it sends what is for the owner; -1 for the owner
  std::vector<int> distribute;  // by device: from whom it gets what comes from the owner; -1 for the owner
  std::vector<int> hops_in;     // by device: on its way to the owner
  std::vector<int> hops_out;    // by device: on the way from the owner to it
};

// A hop of one of several flows.
struct Hop {
  int flow = 0, from = 0, to = 0;
};

// The hops of flows to their owners, or from there to all, in an order that keeps ports busy if each device sends in
// it: what has the farthest to go leaves first, what has come the farthest is passed on last, and of equals each device
// sends to the one after it first, so that not all send to one. A flow passes a device after all that it gets there.
std::vector<Hop> gather_hops(ExchangeTopology topology, int devices, const std::vector<int>& owners);
std::vector<Hop> distribute_hops(ExchangeTopology topology, int devices, const std::vector<int>& owners);

}  // namespace hadal
