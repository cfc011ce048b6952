// hadal train: from job.yaml to model.safetensors.

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/plan_table.h"
#include "apps/stop_signals.h"
#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/printable.h"
#include "train/trainer.h"

namespace hadal {

namespace {

using nlohmann::ordered_json;

// Where progress goes: one live line on a terminal, plain lines into a pipe, JSON lines with --json.
class Reporter {
 public:
  explicit Reporter(bool json) : json_(json), live_(!json && stdout_is_terminal()) {}

  void progress(const TrainProgress& p) {
    const auto now = std::chrono::steady_clock::now();
    const auto interval = std::chrono::milliseconds(live_ ? 100 : 2000);
    if (p.step != p.steps && now - last_ < interval) return;
    last_ = now;
    if (std::ferror(stdout) != 0) return;  // nobody reads it any more
    if (json_) {
      print_json({{"event", "progress"},
                  {"step", p.step},
                  {"steps", p.steps},
                  {"epoch", p.epoch},
                  {"loss", p.loss},
                  {"rate", p.rate},
                  {"samples_per_second", p.samples_per_second},
                  {"seconds_left", p.seconds_left}});
      return;
    }
    const std::string line =
        fmt::format("step {}/{}  epoch {}/{}  loss {:.4f}  {} samples/s  {} left", p.step, p.steps, p.epoch + 1,
                    p.epochs, p.loss, format_count(p.samples_per_second), format_seconds(p.seconds_left));
    if (live_) {
      fmt::print("\r\033[K{}", line);
      open_line_ = true;
    } else {
      fmt::print("{}\n", line);
    }
    std::fflush(stdout);
  }

  void evaluated(std::int64_t epoch, const Evaluation& evaluation) {
    if (std::ferror(stdout) != 0) return;
    if (json_) {
      ordered_json line{{"event", "evaluation"}, {"epoch", epoch}};
      line["test"] = to_json(evaluation);
      print_json(line);
      return;
    }
    end_line();
    fmt::print("epoch {}: test loss {:.4f}, accuracy {:.2f} % ({} of {})", epoch + 1, evaluation.loss(),
               100 * evaluation.accuracy(), format_count(static_cast<double>(evaluation.correct)),
               format_count(static_cast<double>(evaluation.samples)));
    if (const auto mean = evaluation.mean_class_accuracy()) fmt::print(", mean of the classes {:.2f} %", 100 * *mean);
    fmt::print("\n");
    std::fflush(stdout);
  }

  void notice(const std::string& text) {
    end_line();
    fmt::print(stderr, "{}\n", printable(text));
  }

  void end_line() {
    if (open_line_) fmt::print("\n");
    open_line_ = false;
  }

  static void print_json(const ordered_json& line) {
    fmt::print("{}\n", line.dump());
    std::fflush(stdout);
  }

 private:
  bool json_, live_, open_line_ = false;
  std::chrono::steady_clock::time_point last_{};
};

struct TrainCommand {
  std::string job, out, init, init_partial, trace;
  bool resume = false, json = false;
  std::int64_t max_steps = 0;
  JobFlags flags;

  void run() const {
    JobSpec spec = flags.load(job);
    const std::string folder = out.empty() ? "runs/" + spec.name : out;
    if (resume) spec.parallel.chosen = stored_split(RunFolder(folder), spec);
    StopSignals signals;
    Reporter reporter(json);
    Trainer trainer(spec, !trace.empty());
    TrainOptions options;
    options.out = folder;
    options.resume = resume;
    options.init_partial = !init_partial.empty();
    const std::string& start = options.init_partial ? init_partial : init;
    if (!start.empty()) options.init = std::filesystem::is_directory(start) ? start + "/model.safetensors" : start;
    if (max_steps > 0) options.max_steps = max_steps;
    options.trace = trace;
    options.stop = &signals.stop();
    options.tell = &signals.tell();
    options.progress = [&](const TrainProgress& progress) { reporter.progress(progress); };
    options.evaluated = [&](std::int64_t epoch, const Evaluation& evaluation) {
      reporter.evaluated(epoch, evaluation);
    };
    options.notice = [&](const std::string& text) { reporter.notice(text); };
    std::string verdict;
    options.judged = [&](const Verdict& found) { verdict = describe(found); };
    if (!json) show_plan(trainer, spec, options.out);
    try {
      const ordered_json summary = trainer.run(options);
      reporter.end_line();
      json ? Reporter::print_json(summary) : show_summary(summary, options.out, verdict);
    } catch (...) {
      reporter.end_line();
      throw;
    }
  }

  static void show_plan(Trainer& trainer, const JobSpec& spec, const std::string& folder) {
    const LocalRunner& runner = trainer.engine().runner();
    const BoundPlan& bound = runner.bound(0);
    fmt::print("{}: {} steps, into {}/\n{}", spec.name, format_count(static_cast<double>(trainer.total_steps())),
               folder,
               plan_table({bound.plan(), trainer.network(), bound.memory(), trainer.engine().prediction(),
                           runner.backend_name(), threads_of_each_device(spec)},
                          false));
    std::fflush(stdout);
  }

  static void show_summary(const ordered_json& summary, const std::string& folder, const std::string& verdict) {
    fmt::print("done: {} steps in {:.1f} s", format_count(summary["steps"].get<double>()),
               summary["train_seconds"].get<double>());
    if (summary.contains("samples_per_second")) {
      fmt::print(", {} samples/s", format_count(summary["samples_per_second"].get<double>()));
    }
    if (summary.contains("test")) {
      fmt::print("; test loss {:.4f}, accuracy {:.2f} %", summary["test"]["loss"].get<double>(),
                 100 * summary["test"]["accuracy"].get<double>());
    }
    if (!verdict.empty()) fmt::print("\n{}", verdict);
    fmt::print("\nmodel: {}/model.safetensors, SHA-256 {}\n", folder, summary["model_sha256"].get<std::string>());
  }
};

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("train", "Train a job");
  auto command = std::make_shared<TrainCommand>();
  verb->add_option("job", command->job, "The job file")->required();
  verb->add_option("--out", command->out, "The run's folder (default: runs/NAME)")->check(not_empty());
  auto* init = verb->add_option("--init", command->init, "Start from the parameters of this run or model.safetensors");
  verb->add_option("--init-partial", command->init_partial, "The same, with those of its parameters that fit by name")
      ->excludes(init);
  verb->add_flag("--resume", command->resume, "Go on from the newest intact checkpoint of the run's folder");
  verb->add_option("--max-steps", command->max_steps, "Stop after this many steps in all")->check(whole_from_one());
  verb->add_option("--trace", command->trace, "Write a timeline of all steps (chrome://tracing, ui.perfetto.dev)");
  verb->add_flag("--json", command->json, "JSON lines on standard output");
  command->flags.add_to(*verb);
  verb->footer("Example: hadal train examples/mnist_lenet.yaml --devices cpu:0,cpu:1 --set solver.epochs=1");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
