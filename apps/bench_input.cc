// hadal bench input: how fast each stage of a job's input is.

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/terminal.h"
#include "apps/verbs.h"
#include "data/batch_loader.h"
#include "data/decode_rate.h"
#include "nn/network.h"
#include "train/host.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

struct BenchInputCommand {
  std::string job;
  double seconds = 5;
  bool json = false;
  JobFlags flags;

  // What the trainer reads, as fast as it comes, with nothing that uses it.
  void run() const {
    const JobSpec spec = flags.load(job);
    const Network network = build_network(spec.network);
    const std::int64_t classes = elements(network.layers.back().output);
    const auto source = open_data(spec.data.train, data_options(spec, network.input, classes, Split::train));
    BatchLoaderOptions options;
    options.batch = spec.samples_per_step();
    options.seed = spec.seed;
    options.order = spec.data.order;
    options.epochs = std::numeric_limits<std::uint32_t>::max();
    auto loading = std::make_unique<BatchLoader>(*source, options);
    BatchLoader& loader = *loading;
    for (int batch = 0; batch < 2; ++batch) static_cast<void>(loader.next());  // the pipeline is filled
    const std::vector<InputCounters> before = loader.stages();
    const std::clock_t processor_start = std::clock();
    const auto start = Clock::now();
    std::int64_t samples = 0;
    double elapsed = 0;
    while (elapsed < seconds) {
      samples += loader.next()->rows();
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    const double processor = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
    std::vector<InputCounters> stages = loader.stages();
    for (std::size_t i = 0; i < stages.size(); ++i) subtract(stages[i], before[i]);
    loading.reset();  // what follows has the cores to itself
    show(spec, *source, stages, samples, elapsed);
    if (const auto* images = dynamic_cast<const ImageSource*>(source.get())) {
      // Of all that the stages made in that time, a little of which was not asked for yet.
      const auto made = static_cast<double>(std::max<std::int64_t>(1, stages[1].samples));
      compare(*images, static_cast<double>(samples) / elapsed, processor / made);
    }
  }

  // With what the decoders alone do on all cores: by the clock, and by the time of processors, which says the same
  // where nothing else works on this machine.
  void compare(const ImageSource& source, double rate, double processor) const {
    const int cores = describe_host().cores;
    const DecodeRate alone = decode_rate(source, cores, std::min(seconds, 3.0));
    if (alone.images_per_second == 0) return;
    const double share = rate / alone.images_per_second, by_processor = alone.processor_seconds_per_image / processor;
    if (json) {
      const nlohmann::ordered_json line{{"decoders_alone", alone.images_per_second},
                                        {"threads", cores},
                                        {"share", share},
                                        {"processor_share", by_processor}};
      fmt::print("{}\n", line.dump());
    } else {
      fmt::print(
          "decoding alone, whole images on {} thread{}: {} images/s; the input has {:.0f} % of that, by processor time "
          "{:.0f} %\n",
          cores, cores == 1 ? "" : "s", format_count(alone.images_per_second), 100 * share, 100 * by_processor);
    }
  }

  static void subtract(InputCounters& counters, const InputCounters& before) {
    counters.samples -= before.samples;
    counters.busy_seconds -= before.busy_seconds;
    counters.starved_seconds -= before.starved_seconds;
    counters.wait_seconds -= before.wait_seconds;
  }

  void show(const JobSpec& spec, const SampleSource& source, const std::vector<InputCounters>& stages,
            std::int64_t samples, double elapsed) const {
    const double rate = static_cast<double>(samples) / elapsed;
    if (!json) {
      fmt::print("{}: {} samples an epoch; {} samples/s\n", spec.name, format_count(static_cast<double>(source.size())),
                 format_count(rate));
      fmt::print("  {:<9}{:>8}{:>15}{:>15}{:>9}{:>9}{:>9}{:>9}\n", "stage", "threads", "samples/s each", "us a sample",
                 "busy", "starved", "blocked", "ready");
    }
    for (const InputCounters& stage : stages) {
      // What `read` of a source in windows counts is not samples.
      const double a_sample = stage.samples > 0 ? stage.busy_seconds / static_cast<double>(stage.samples) : 0;
      const double all = std::max(1e-9, stage.busy_seconds + stage.starved_seconds + stage.wait_seconds);
      if (json) {
        nlohmann::ordered_json line{{"stage", stage.name}, {"threads", stage.threads}};
        if (a_sample > 0)
          line.update({{"samples_per_second_of_a_thread", 1 / a_sample}, {"seconds_per_sample", a_sample}});
        line.update({{"busy_share", stage.busy_seconds / all},
                     {"starved_share", stage.starved_seconds / all},
                     {"blocked_share", stage.wait_seconds / all},
                     {"queue_mean", stage.queue_mean}});
        fmt::print("{}\n", line.dump());
      } else {
        fmt::print("  {:<9}{:>8}{:>15}{:>15}{:>7.0f} %{:>7.0f} %{:>7.0f} %{:>9.1f}\n", stage.name, stage.threads,
                   a_sample > 0 ? format_count(1 / a_sample) : "",
                   a_sample > 0 ? fmt::format("{:.1f}", 1e6 * a_sample) : "", 100 * stage.busy_seconds / all,
                   100 * stage.starved_seconds / all, 100 * stage.wait_seconds / all, stage.queue_mean);
      }
    }
    if (json) {
      const nlohmann::ordered_json line{{"job", spec.name}, {"batch", spec.data.batch}, {"samples_per_second", rate}};
      fmt::print("{}\n", line.dump());
    }
    std::fflush(stdout);
  }
};

}  // namespace

void add_bench_input(CLI::App& bench) {
  CLI::App* verb = bench.add_subcommand("input", "Each stage of a job's input: how fast, and what waits for what");
  auto command = std::make_shared<BenchInputCommand>();
  verb->add_option("job", command->job, "The job file")->required();
  verb->add_option("--seconds", command->seconds, "How long")->check(CLI::Range(0.1, 600.0))->capture_default_str();
  verb->add_flag("--json", command->json, "A JSON line for each stage");
  command->flags.add_to(*verb);
  verb->footer("Example: hadal bench input examples/mnist_lenet.yaml");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
