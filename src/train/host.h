#pragma once
// What this machine is.

#include <cstddef>
#include <string>

#include "device/machine.h"

namespace hadal {

struct Host {
  std::string processor, vectors, onednn;  // "AMD EPYC", "avx2", "2.6.3, avx2"
  int cores = 1;                           // that this process may use
  bool native_bf16 = false;                // products of bf16 numbers by instructions for them
  std::size_t memory_bytes = 0;
};

Host describe_host();

// This machine's cores as devices of a described one (machine.yaml): each is joined to the memory of its NUMA node, and
// these in a row. `flops_per_second`: of one core. Measures how fast one core copies, for memories and links.
Machine machine_of_host(double flops_per_second);

}  // namespace hadal
