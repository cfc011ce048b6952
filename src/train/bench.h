#pragma once
// The networks of `hadal bench train`, and how fast a machine's matrix products are.

#include <string>
#include <vector>

#include "device/device.h"
#include "ops/backend.h"

namespace hadal {

struct BenchNetwork {
  std::string name;
  std::string job;  // YAML, on synthetic data
};

const std::vector<BenchNetwork>& bench_networks();

// FLOP/s of a large square matrix product of `backend`, on as many threads as one kernel may use: the best of a few.
double peak_flops(Backend& backend, int threads);

}  // namespace hadal
