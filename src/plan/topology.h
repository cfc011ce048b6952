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
  std::vector<int> inwards;     // all devices, each before the one that it sends to; the owner is the last
  std::vector<int> outwards;    // all devices, each after the one that it gets from; the owner is the first
};

}  // namespace hadal
