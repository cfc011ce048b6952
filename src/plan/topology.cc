#include "plan/topology.h"

#include <algorithm>

#include "base/error.h"

namespace hadal {

namespace {

// Neighbours in a balanced tree over devices first ... past - 1, whose root is the middle one.
void add_edges(int first, int past, int above, std::vector<std::vector<int>>& neighbours) {
  if (first == past) return;
  const int root = (first + past) / 2;
  if (above >= 0) {
    neighbours[root].push_back(above);
    neighbours[above].push_back(root);
  }
  add_edges(first, root, root, neighbours);
  add_edges(root + 1, past, root, neighbours);
}

std::vector<std::vector<int>> neighbours_of(ExchangeTopology topology, int devices, int owner) {
  std::vector<std::vector<int>> neighbours(devices);
  if (topology == ExchangeTopology::tree) {
    add_edges(0, devices, -1, neighbours);
    return neighbours;
  }
  for (int d = 0; d < devices; ++d) {
    const int other = topology == ExchangeTopology::direct ? owner : d + 1;
    if (other == d || other == devices) continue;
    neighbours[d].push_back(other);
    neighbours[other].push_back(d);
  }
  return neighbours;
}

}  // namespace

const char* to_string(ExchangeTopology topology) {
  switch (topology) {
    case ExchangeTopology::shared:
      return "shared";
    case ExchangeTopology::direct:
      return "direct";
    case ExchangeTopology::line:
      return "line";
    case ExchangeTopology::tree:
      return "tree";
    case ExchangeTopology::ring:
      return "ring";
  }
  return "?";
}

Route::Route(ExchangeTopology topology, int devices, int owner)
    : gather(devices, -1), distribute(devices, -1), hops_in(devices), hops_out(devices) {
  HADAL_CHECK(topology != ExchangeTopology::shared && owner >= 0 && owner < devices);
  if (topology == ExchangeTopology::ring) {
    for (int i = 1; i < devices; ++i) {
      const int device = (owner + i) % devices;
      gather[device] = (device + 1) % devices;
      distribute[device] = (device + devices - 1) % devices;
      hops_in[device] = devices - i;
      hops_out[device] = i;
    }
    return;
  }
  const auto neighbours = neighbours_of(topology, devices, owner);
  std::vector<int> reached{owner};
  for (std::size_t i = 0; i < reached.size(); ++i) {
    for (const int device : neighbours[reached[i]]) {
      if (device == gather[reached[i]]) continue;
      gather[device] = distribute[device] = reached[i];
      hops_in[device] = hops_out[device] = hops_in[reached[i]] + 1;
      reached.push_back(device);
    }
  }
  HADAL_CHECK(static_cast<int>(reached.size()) == devices);
}

namespace {

// The hops of all flows by `rank`, and by how far after its sender a receiver comes.
template <class Hops, class Rank>
std::vector<Hop> ordered(ExchangeTopology topology, int devices, const std::vector<int>& owners, Hops add, Rank rank) {
  std::vector<std::pair<std::pair<int, int>, Hop>> ranked;
  for (int flow = 0; flow < static_cast<int>(owners.size()); ++flow) {
    const Route route(topology, devices, owners[flow]);
    for (int device = 0; device < devices; ++device) {
      if (device == owners[flow]) continue;
      const Hop hop = add(route, flow, device);
      ranked.push_back({{rank(route, hop), (hop.to - hop.from + devices) % devices}, hop});
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Hop> hops;
  for (const auto& [key, hop] : ranked) hops.push_back(hop);
  return hops;
}

}  // namespace

std::vector<Hop> gather_hops(ExchangeTopology topology, int devices, const std::vector<int>& owners) {
  return ordered(
      topology, devices, owners,
      [](const Route& route, int flow, int device) {
        return Hop{flow, device, route.gather[device]};
      },
      [](const Route& route, const Hop& hop) { return -route.hops_in[hop.from]; });
}

std::vector<Hop> distribute_hops(ExchangeTopology topology, int devices, const std::vector<int>& owners) {
  return ordered(
      topology, devices, owners,
      [](const Route& route, int flow, int device) {
        return Hop{flow, route.distribute[device], device};
      },
      [](const Route& route, const Hop& hop) { return route.hops_out[hop.to]; });
}

}  // namespace hadal
