#include "train/bench.h"

#include <omp.h>

#include <algorithm>
#include <map>

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
                                                  {"alexnet", R"(name: bench-alexnet
network:
  input: [3, 227, 227]
  layers:
    - conv: {out: 96, kernel: 11, stride: 4}
    - relu
    - lrn: {size: 5, alpha: 0.0001, beta: 0.75, k: 2}
    - max_pool: {kernel: 3, stride: 2}
    - conv: {out: 256, kernel: 5, pad: 2, groups: 2}
    - relu
    - lrn: {size: 5, alpha: 0.0001, beta: 0.75, k: 2}
    - max_pool: {kernel: 3, stride: 2}
    - conv: {out: 384, kernel: 3, pad: 1}
    - relu
    - conv: {out: 384, kernel: 3, pad: 1, groups: 2}
    - relu
    - conv: {out: 256, kernel: 3, pad: 1, groups: 2}
    - relu
    - max_pool: {kernel: 3, stride: 2}
    - fully_connected: {out: 4096}
    - relu
    - dropout: {p: 0.5}
    - fully_connected: {out: 4096}
    - relu
    - dropout: {p: 0.5}
    - fully_connected: {out: 1000}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 1024, classes: 1000}}, batch: 64}
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
)"},
                                                  {"vgg", R"(name: bench-vgg
network:
  input: [3, 32, 32]
  layers:
    - conv: {out: 64, kernel: 3, pad: 1}
    - relu
    - conv: {out: 64, kernel: 3, pad: 1}
    - relu
    - max_pool: {kernel: 2, stride: 2}
    - conv: {out: 128, kernel: 3, pad: 1}
    - relu
    - conv: {out: 128, kernel: 3, pad: 1}
    - relu
    - max_pool: {kernel: 2, stride: 2}
    - conv: {out: 256, kernel: 3, pad: 1}
    - relu
    - conv: {out: 256, kernel: 3, pad: 1}
    - relu
    - max_pool: {kernel: 2, stride: 2}
    - fully_connected: {out: 512}
    - relu
    - fully_connected: {out: 10}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 4096, classes: 10}}, batch: 64}
solver: {epochs: 1, rule: {sgd: {rate: 0.001, momentum: 0.9, weight_decay: 0.0005}}}
)"},
                                                  {"wide_mlp", R"(name: bench-wide-mlp
network:
  input: [1024]
  layers:
    - fully_connected: {out: 4096}
    - relu
    - fully_connected: {out: 4096}
    - relu
    - fully_connected: {out: 1000}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 4096, classes: 1000}}, batch: 32}
solver: {epochs: 1, rule: {sgd: {rate: 0.001, momentum: 0.9, weight_decay: 0.0005}}}
)"},
                                                  {"residual", R"(name: bench-residual
network:
  input: [16, 32, 32]
  layers:
    - conv: {name: stem, out: 64, kernel: 1}
    - conv: {name: narrow1, out: 32, kernel: 1, from: stem}
    - relu: {name: narrow_relu1}
    - conv: {name: middle1, out: 32, kernel: 3, pad: 1}
    - relu: {name: middle_relu1}
    - conv: {name: wide1, out: 64, kernel: 1}
    - add: {name: sum1, from: [wide1, stem]}
    - conv: {name: narrow2, out: 32, kernel: 1, from: sum1}
    - relu: {name: narrow_relu2}
    - conv: {name: middle2, out: 32, kernel: 3, pad: 1}
    - relu: {name: middle_relu2}
    - conv: {name: wide2, out: 64, kernel: 1}
    - add: {name: sum2, from: [wide2, sum1]}
    - conv: {name: narrow3, out: 32, kernel: 1, from: sum2}
    - relu: {name: narrow_relu3}
    - conv: {name: middle3, out: 32, kernel: 3, pad: 1}
    - relu: {name: middle_relu3}
    - conv: {name: wide3, out: 64, kernel: 1}
    - add: {name: sum3, from: [wide3, sum2]}
    - average_pool: {kernel: 4}
    - fully_connected: {out: 100}
  loss: softmax_cross_entropy
data: {train: {synthetic: {samples: 4096, classes: 100}}, batch: 64}
solver: {epochs: 1, rule: {sgd: {rate: 0.001, momentum: 0.9, weight_decay: 0.0005}}}
)"}};
  return networks;
}

double peak_flops(Backend& backend, int threads, DType type) {
  constexpr std::int64_t kSize = 2048;
  constexpr int kRuns = 5;
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  const auto kernel =
      backend.bind(FullyConnectedBackwardWeights{kSize, kSize, 0, kSize, {}, {0, kSize, {}}, type}, threads);
  const std::size_t matrix = kSize * kSize * sizeof(float);
  const Buffer matrices(3 * matrix + kSize * sizeof(float)), scratch(std::max<std::size_t>(kernel->scratch_bytes(), 1));
  std::byte* base = matrices.data();
  std::byte* const arguments[] = {base, base + matrix, base + 2 * matrix, base + 3 * matrix};
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

std::vector<StepTime> step_times(const LocalRunner& runner) {
  const std::vector<Step>& steps = runner.bound(0).plan().steps;
  std::map<std::pair<int, bool>, std::vector<double>> seconds;  // by step and whether it is a wait
  for (const TraceEvent& event : runner.trace()) {
    if (event.round == 1 && runner.trace().back().round > 1) continue;  // it touches all memory for the first time
    if (event.plan != 0) continue;
    const bool on_compute = event.stream == static_cast<int>(StreamKind::compute);
    // Sums of gradients on their way are computed by other streams, whose waits cost nothing.
    const bool computes = event.kind != Item::Kind::wait && std::holds_alternative<Compute>(steps[event.step].body);
    if (!on_compute && !computes) continue;
    seconds[{event.step, event.kind != Item::Kind::wait}].push_back(
        static_cast<double>(event.span.end_ns - event.span.begin_ns) * 1e-9);
  }
  const BoundPlan& bound = runner.bound(0);
  std::vector<StepTime> times;
  for (auto& [which, all] : seconds) {
    const auto& [index, works] = which;
    const Step& step = steps[index];
    const auto* compute = std::get_if<Compute>(&step.body);
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    StepTime time{step.name, compute ? bound.kernel(index)->implementation() : "copy", 0, *middle};
    if (!works) {
      time.name = "wait for " + step.name;
      time.implementation = "wait";
    } else if (compute) {
      time.flops = op_flops(compute->op);
    }
    times.push_back(std::move(time));
  }
  return times;
}

}  // namespace hadal
