#include "train/host.h"

#include <hwloc.h>

#include <algorithm>

#include "ops/cpu/cpu.h"

namespace hadal {

namespace {

std::string widest_vectors() {
  if (__builtin_cpu_supports("avx512f")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  if (__builtin_cpu_supports("avx")) return "avx";
  return "sse";
}

}  // namespace

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
