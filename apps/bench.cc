// hadal bench: how fast this machine trains.

#include "train/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/error.h"
#include "base/nearest.h"
#include "train/trainer.h"

namespace hadal {

namespace {

struct BenchTrainCommand {
  std::vector<std::string> only;
  double seconds = 3;
  bool json = false;
  JobFlags flags;

  void run() const {
    std::vector<std::string> known;
    for (const BenchNetwork& network : bench_networks()) known.push_back(network.name);
    for (const std::string& name : only) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      const std::string near = nearest(name, known);
      std::string names;
      for (const std::string& other : known) names += (names.empty() ? "" : ", ") + other;
      throw ConfigError("--only " + name + ": there is no such network" +
                        (near.empty() ? "; there are " + names : "; did you mean '" + near + "'?"));
    }
    for (const BenchNetwork& network : bench_networks()) {
      if (only.empty() || std::find(only.begin(), only.end(), network.name) != only.end()) measure(network);
    }
  }

  void measure(const BenchNetwork& network) const {
    const JobSpec job = flags.parse(network.job, "bench " + network.name);
    const int threads = threads_of_each_device(job);
    const double peak = peak_flops(*make_backend(job), threads);
    Trainer trainer(job);
    trainer.run_steps(5);
    std::int64_t samples = 0;
    double elapsed = 0;
    const auto start = Clock::now();
    for (std::int64_t chunk = 1; elapsed < seconds; chunk = std::min<std::int64_t>(chunk * 2, 64)) {
      const BatchResult result = trainer.run_steps(chunk);  // throws where a loss is not finite
      samples += result.rows;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    const double rate = static_cast<double>(samples) / elapsed;
    const auto flops = static_cast<double>(trainer.network().training_flops());
    const auto devices = job.parallel.devices.size();
    const double peak_all = peak * static_cast<double>(devices);
    if (json) {
      const nlohmann::ordered_json line{{"bench", network.name},
                                        {"devices", devices},
                                        {"threads", threads},
                                        {"batch", job.data.batch},
                                        {"precision", "fp32"},
                                        {"samples_per_second", rate},
                                        {"flops_per_sample", flops},
                                        {"peak_gflops", peak_all / 1e9},
                                        {"peak_share", rate * flops / peak_all}};
      fmt::print("{}\n", line.dump());
    } else {
      fmt::print(
          "{:<8} {} device{} of {} core{}, batch {}: {:>9} samples/s, {:.1f} GFLOP/s, {:.0f} % of the measured peak\n",
          network.name, devices, devices == 1 ? "" : "s", threads, threads == 1 ? "" : "s", job.data.batch,
          format_count(rate), rate * flops / 1e9, 100 * rate * flops / peak_all);
    }
    std::fflush(stdout);
  }
};

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("bench", "How fast this machine trains");
  verb->require_subcommand(1);
  CLI::App* train =
      verb->add_subcommand("train", "Training steps of known networks, through the same loop as 'hadal train'");
  auto command = std::make_shared<BenchTrainCommand>();
  train->add_option("--only", command->only, "Networks: mlp, alexnet, lenet, vgg, wide_mlp, residual")->delimiter(',');
  train->add_option("--seconds", command->seconds, "Time for each")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  train->add_flag("--json", command->json, "A JSON line for each");
  command->flags.add_to(*train);
  for (CLI::App* one : {verb, train}) one->footer("Example: hadal bench train --only lenet --threads 1");
  train->callback([command] { command->run(); });
}

}  // namespace hadal
