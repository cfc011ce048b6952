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

Route::Route(ExchangeTopology topology, int devices, int owner) : gather(devices, -1), distribute(devices, -1) {
  HADAL_CHECK(topology != ExchangeTopology::shared && owner >= 0 && owner < devices);
  outwards = {owner};
  if (topology == ExchangeTopology::ring) {
    for (int i = 1; i < devices; ++i) {
      const int device = (owner + i) % devices;
      gather[device] = (device + 1) % devices;
      distribute[device] = outwards.back();
      outwards.push_back(device);
    }
    inwards.assign(outwards.begin() + 1, outwards.end());
    inwards.push_back(owner);
    return;
  }
  const auto neighbours = neighbours_of(topology, devices, owner);
  for (std::size_t i = 0; i < outwards.size(); ++i) {
    for (const int device : neighbours[outwards[i]]) {
      if (device == gather[outwards[i]]) continue;
      gather[device] = distribute[device] = outwards[i];
      outwards.push_back(device);
    }
  }
  HADAL_CHECK(static_cast<int>(outwards.size()) == devices);
  inwards.assign(outwards.rbegin(), outwards.rend());
}

}  // namespace hadal
