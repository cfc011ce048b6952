#pragma once
// The networks of `hadal bench train`, and how fast a machine's matrix products are.

#include <string>
#include <vector>

#include "device/device.h"
#include "ops/backend.h"
#include "runner/local_runner.h"

namespace hadal {

struct BenchNetwork {
  std::string name;
  std::string job;  // YAML, on synthetic data
};

const std::vector<BenchNetwork>& bench_networks();

// FLOP/s of a large square matrix product of fp32 or bf16 numbers by `backend`, on as many threads as one kernel may
// use: the best of a few.
double peak_flops(Backend& backend, int threads, DType type);

// A step of the first device's compute stream.
struct StepTime {
  std::string name, implementation;  // "load", "copy" where no kernel runs it
  std::int64_t flops = 0;
  double seconds = 0;  // median over the rounds that `runner` traced
};

// Of the training plan of a full batch, in its order; waits stand under "wait for STEP".
std::vector<StepTime> step_times(const LocalRunner& runner);

}  // namespace hadal
