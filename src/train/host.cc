#include "train/host.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "device/device.h"
#include "ops/cpu/cpu.h"

namespace hadal {

namespace {

std::string widest_vectors() {
  if (__builtin_cpu_supports("avx512f")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  if (__builtin_cpu_supports("avx")) return "avx";
  return "sse";
}

// The best of several copies from one block of memory to another, larger than caches.
double copied_bytes_per_second() {
  constexpr std::size_t kBytes = 128 << 20;
  constexpr int kRuns = 5;
  const Buffer blocks(2 * kBytes);
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    std::memcpy(blocks.data() + (run % 2 == 0 ? kBytes : 0), blocks.data() + (run % 2 == 0 ? 0 : kBytes), kBytes);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (run > 0) best = std::max(best, kBytes / seconds);  // the first one finds the pages
  }
  return best;
}

// By usable core: the number of its NUMA node, among those with usable cores.
std::vector<int> nodes_of_cores() {
  std::vector<int> nodes;
  hwloc_topology_t topology = nullptr;
  const bool has_topology = hwloc_topology_init(&topology) == 0;
  if (has_topology && hwloc_topology_load(topology) == 0) {
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    const bool limited = hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) == 0;
    for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core));) {
      if (limited && !hwloc_bitmap_intersects(core->cpuset, allowed)) continue;
      hwloc_obj_t node = nullptr;
      int number = 0;
      while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) &&
             !hwloc_bitmap_intersects(node->cpuset, core->cpuset)) {
        ++number;
      }
      nodes.push_back(node == nullptr ? 0 : number);
    }
    hwloc_bitmap_free(allowed);
  }
  if (has_topology) hwloc_topology_destroy(topology);
  if (nodes.empty()) nodes = {0};
  std::map<int, int> numbers;
  for (const int node : nodes) numbers.emplace(node, 0);
  int next = 0;
  for (auto& [node, number] : numbers) number = next++;
  for (int& node : nodes) node = numbers[node];
  return nodes;
}

}  // namespace

Machine machine_of_host(double flops_per_second) {
  const Host host = describe_host();
  const std::vector<int> nodes = nodes_of_cores();
  // Two digits: the next measurement has others.
  const auto rounded = [](double number) {
    const double unit = std::pow(10.0, std::floor(std::log10(number)) - 1);
    return std::round(number / unit) * unit;
  };
  const double copies = rounded(copied_bytes_per_second());
  const int devices = static_cast<int>(nodes.size());
  Machine machine{.name = host.processor.empty() ? "this machine" : host.processor, .host = devices};
  // A copy reads and writes each of its bytes.
  const DeviceSpeed speed{.flops_per_second = rounded(flops_per_second), .memory_bytes_per_second = 2 * copies};
  const LinkSpeed link{copies, 1e-7};
  for (int d = 0; d < devices; ++d) {
    machine.devices.push_back({fmt::format("cpu:{}", d), speed, static_cast<double>(host.memory_bytes), 0});
    machine.links.push_back({d, devices + nodes[static_cast<std::size_t>(d)], link, true});
  }
  const int memories = *std::max_element(nodes.begin(), nodes.end()) + 1;
  for (int m = 0; m < memories; ++m) {
    machine.switches.push_back(fmt::format("memory{}", m));
    if (m > 0) machine.links.push_back({devices + m - 1, devices + m, link, true});
  }
  return machine;
}

Host describe_host() {
  Host host;
  host.vectors = widest_vectors();
  host.onednn = onednn_version();
  host.native_bf16 = cpu_has_bf16();
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) return host;
  if (hwloc_topology_load(topology) == 0) {
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    host.cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) == 0) {
      // A core of which only one hardware thread is allowed counts.
      host.cores = 0;
      for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core));) {
        host.cores += hwloc_bitmap_intersects(core->cpuset, allowed);
      }
    }
    hwloc_bitmap_free(allowed);
    host.memory_bytes = hwloc_get_root_obj(topology)->total_memory;
    const hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    const char* model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : nullptr;
    if (model) host.processor = model;
  }
  hwloc_topology_destroy(topology);
  host.cores = std::max(host.cores, 1);
  return host;
}

}  // namespace hadal
