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
#include "ops/cpu/cpu.h"
#include "train/trainer.h"

namespace hadal {

namespace {

const char* name_of(Precision precision) { return precision == Precision::bf16 ? "bf16" : "fp32"; }

// The networks that --only names, or all.
std::vector<BenchNetwork> chosen_networks(const std::vector<std::string>& only) {
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
  std::vector<BenchNetwork> chosen;
  for (const BenchNetwork& network : bench_networks()) {
    if (only.empty() || std::find(only.begin(), only.end(), network.name) != only.end()) chosen.push_back(network);
  }
  return chosen;
}

struct BenchTrainCommand {
  std::vector<std::string> only;
  double seconds = 3;
  bool json = false, jobs = false;
  JobFlags flags;

  void run() const {
    for (const BenchNetwork& network : chosen_networks(only)) {
      if (jobs) {
        fmt::print("{}\n", identity(flags.parse(network.job, "bench " + network.name)));
      } else {
        measure(network);
      }
    }
  }

  void measure(const BenchNetwork& network) const {
    const JobSpec job = flags.parse(network.job, "bench " + network.name);
    const int threads = threads_of_each_device(job);
    const double peak = peak_flops(*make_cpu_backend(), threads, dtype_of(job.precision));
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
    const char* precision = name_of(job.precision);
    if (json) {
      const nlohmann::ordered_json line{{"bench", network.name},
                                        {"devices", devices},
                                        {"threads", threads},
                                        {"batch", job.data.batch},
                                        {"precision", precision},
                                        {"samples_per_second", rate},
                                        {"flops_per_sample", flops},
                                        {"peak_gflops", peak_all / 1e9},
                                        {"peak_share", rate * flops / peak_all}};
      fmt::print("{}\n", line.dump());
    } else {
      fmt::print(
          "{:<8} {} device{} of {} core{}, batch {}, {}: {:>9} samples/s, {:.1f} GFLOP/s, {:.0f} % of the measured "
          "peak\n",
          network.name, devices, devices == 1 ? "" : "s", threads, threads == 1 ? "" : "s", job.data.batch, precision,
          format_count(rate), rate * flops / 1e9, 100 * rate * flops / peak_all);
    }
    std::fflush(stdout);
  }
};

// Every kernel of a training step on the first device, with its time.
struct BenchOpsCommand {
  std::string job;
  std::vector<std::string> only;
  double seconds = 3;
  bool json = false;
  JobFlags flags;

  void run() const {
    if (!job.empty()) {
      if (!only.empty()) throw ConfigError("--only names networks of this program: give it, or a job, not both");
      measure(flags.load(job));
      return;
    }
    for (const BenchNetwork& network : chosen_networks(only)) {
      measure(flags.parse(network.job, "bench " + network.name));
    }
  }

  void measure(const JobSpec& given) const {
    JobSpec spec = given;
    spec.exchange.deferred_layers = 0;  // one plan for all steps
    const int threads = threads_of_each_device(spec);
    const double peak = peak_flops(*make_cpu_backend(), threads, dtype_of(spec.precision));
    Trainer trainer(spec, true);
    trainer.run_steps(1);
    const auto start = Clock::now();
    do trainer.run_steps(1);
    while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    const std::vector<StepTime> times = step_times(trainer.engine().runner());
    double all = 0;
    for (const StepTime& time : times) all += time.seconds;
    if (!json) {
      fmt::print("{}: {:.3f} ms a step on {}, {} core{}, {}; peak {:.0f} GFLOP/s\n", spec.name, all * 1e3,
                 spec.parallel.devices[0], threads, threads == 1 ? "" : "s", name_of(spec.precision), peak / 1e9);
      fmt::print("  {:<34} {:<26} {:>9} {:>7}  {:>8}  {:>6}\n", "step", "implementation", "ms", "share", "GFLOP/s",
                 "peak");
    }
    for (const StepTime& time : times) show(spec, time, all, peak);
    std::fflush(stdout);
  }

  void show(const JobSpec& spec, const StepTime& time, double all, double peak) const {
    const bool slow = time.implementation.starts_with("ref");
    const double flops = static_cast<double>(time.flops) / time.seconds;
    if (json) {
      nlohmann::ordered_json line{{"job", spec.name},        {"precision", name_of(spec.precision)},
                                  {"step", time.name},       {"implementation", time.implementation},
                                  {"seconds", time.seconds}, {"step_share", time.seconds / all}};
      if (time.flops > 0) line.update({{"gflops", flops / 1e9}, {"peak_share", flops / peak}});
      if (slow) line["slow"] = true;
      fmt::print("{}\n", line.dump());
      return;
    }
    fmt::print("  {:<34} {:<26} {:>9.3f} {:>5.1f} %", time.name, time.implementation, time.seconds * 1e3,
               100 * time.seconds / all);
    if (time.flops > 0) fmt::print("  {:>8.1f}  {:>4.0f} %", flops / 1e9, 100 * flops / peak);
    fmt::print("{}\n", slow ? "  SLOW: a plain loop of the library" : "");
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
  train->add_flag("--jobs", command->jobs, "Print the jobs as JSON lines instead of running them");
  command->flags.add_to(*train);
  for (CLI::App* one : {verb, train}) one->footer("Example: hadal bench train --only lenet --threads 1");
  train->callback([command] { command->run(); });

  CLI::App* ops = verb->add_subcommand("ops", "Every kernel of a training step: what runs it, how long, how fast");
  auto of_ops = std::make_shared<BenchOpsCommand>();
  ops->add_option("job", of_ops->job, "A job instead of the known networks");
  ops->add_option("--only", of_ops->only, "Networks, as for 'bench train'")->delimiter(',');
  ops->add_option("--seconds", of_ops->seconds, "Time for each")->check(CLI::Range(0.1, 600.0))->capture_default_str();
  ops->add_flag("--json", of_ops->json, "A JSON line for each kernel");
  of_ops->flags.add_to(*ops);
  ops->footer("Example: hadal bench ops --only alexnet --devices cpu:0 --threads 1");
  ops->callback([of_ops] { of_ops->run(); });

  add_bench_input(*verb);
}

}  // namespace hadal
