#include "train/bench.h"

#include <omp.h>

#include <algorithm>

namespace hadal {

const std::vector<BenchNetwork>& bench_networks() {
  static const std::vector<BenchNetwork> networks{{"mlp", R"(name: bench-mlp
network:
  input: [440]
  layers:
    - fully_connected: {out: 2048}
    - sigmoid
    - fully_connected: {out: 2048}
    - sigmoid
    - fully_connected: {out: 2048}
    - sigmoid
    - fully_connected: {out: 2048}
    - sigmoid
    - fully_connected: {out: 2048}
    - sigmoid
    - fully_connected: {out: 3000}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 8192, classes: 3000}}, batch: 256}
solver: {epochs: 1, rule: {sgd: {rate: 0.001, momentum: 0.9, weight_decay: 0.0005}}}
)"},
                                                  {"lenet", R"(name: bench-lenet
network:
  input: [1, 28, 28]
  layers:
    - conv: {out: 20, kernel: 5}
    - max_pool: {kernel: 2, stride: 2}
    - conv: {out: 50, kernel: 5}
    - max_pool: {kernel: 2, stride: 2}
    - fully_connected: {out: 500}
    - relu
    - fully_connected: {out: 10}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 8192, classes: 10}}, batch: 64}
solver: {epochs: 1, rule: {sgd: {rate: 0.001, momentum: 0.9, weight_decay: 0.0005}}}
)"}};
  return networks;
}

double peak_flops(Backend& backend, int threads) {
  constexpr std::int64_t kSize = 2048;
  constexpr int kRuns = 5;
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  const auto kernel = backend.bind(FullyConnectedForward{kSize, kSize, {0, kSize, {}}}, threads);
  const Buffer matrices(3 * kSize * kSize * sizeof(float) + kSize * sizeof(float)),
      scratch(std::max<std::size_t>(kernel->scratch_bytes(), 1));
  std::byte* base = matrices.data();
  const std::size_t matrix = kSize * kSize * sizeof(float);
  std::byte* const arguments[] = {base, base + matrix, base + 3 * matrix, base + 2 * matrix};
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    kernel->run(arguments, scratch.data(), {});
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds);
  }
  omp_set_num_threads(before);
  return best;
}

}  // namespace hadal
