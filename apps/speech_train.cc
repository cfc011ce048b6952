// hadal speech train: from a recipe to a recogniser and its word errors.

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/stop_signals.h"
#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/printable.h"
#include "speech/recipe_training.h"
#include "train/host.h"

namespace hadal {

namespace {

using nlohmann::ordered_json;

// One live line on a terminal; into a pipe a line now and then.
class StageReporter {
 public:
  explicit StageReporter(bool quiet) : quiet_(quiet), live_(!quiet && stdout_is_terminal()) {}

  void progress(const std::string& text, bool last) {
    const auto now = std::chrono::steady_clock::now();
    const auto interval = std::chrono::milliseconds(live_ ? 100 : 5000);
    if (quiet_ || std::ferror(stdout) != 0 || (!last && now - last_ < interval)) return;
    last_ = now;
    if (live_) {
      fmt::print("\r\033[K{}", text);
      open_line_ = true;
    } else {
      fmt::print("{}\n", text);
    }
    std::fflush(stdout);
  }

  void line(const std::string& text) {
    if (quiet_) return;
    end_line();
    fmt::print("{}\n", printable(text));
    std::fflush(stdout);
  }

  void end_line() {
    if (open_line_) fmt::print("\r\033[K");
    open_line_ = false;
  }

 private:
  bool quiet_, live_, open_line_ = false;
  std::chrono::steady_clock::time_point last_{};
};

void print_score(const std::string& part, const char* model, const ordered_json& score) {
  const auto number = [&](const char* name) { return score.at(name).get<std::int64_t>(); };
  fmt::print("  {:<9} {:<8} {:>6.2f} %  {:>5.2f}-{:<5.2f}  {:>5} of {:<6} {:>4} {:>4} {:>4}  {:>6.3f}\n", part, model,
             100 * score.at("word_error_rate").get<double>(), 100 * score.at("interval_95").at(0).get<double>(),
             100 * score.at("interval_95").at(1).get<double>(), number("errors"), number("words"),
             number("substitutions"), number("deletions"), number("insertions"),
             score.at("real_time_factor").get<double>());
}

void print_results(const ordered_json& results) {
  fmt::print("\n  part      model     WER        95 %         words wrong    sub  del  ins    time / audio\n");
  for (const char* part : {"held_out", "test"}) {
    if (!results.contains(part)) continue;
    for (const char* model : {"gmm", "network"}) {
      if (results[part].contains(model)) print_score(part, model, results[part][model]);
    }
  }
  for (const char* part : {"held_out", "test"}) {
    if (!results.contains(part) || !results[part].contains("network")) continue;
    const ordered_json& against = results[part]["network"]["against_gmm"];
    const double reduction = 100 * against.at("reduction").get<double>();
    fmt::print(
        "{}: the network makes {:.1f} % {} word errors than the Gaussian mixtures (95 %: {:.1f} to {:.1f}; paired "
        "bootstrap, p = {:.4f})\n",
        part, std::abs(reduction), reduction < 0 ? "more" : "fewer",
        100 * against.at("interval_95").at(0).get<double>(), 100 * against.at("interval_95").at(1).get<double>(),
        against.at("p").get<double>());
  }
  if (results.contains("held_out") && results["held_out"].contains("frame_error")) {
    fmt::print("held_out: {:.2f} % of the frames in another state than aligned\n",
               100 * results["held_out"]["frame_error"].get<double>());
  }
  fmt::print("network: {}/network, SHA-256 {}\n", results.at("run").get<std::string>(),
             results.at("network_sha256").get<std::string>());
}

struct SpeechTrainCommand {
  std::string recipe, out;
  bool json = false, anew = false, resume = false;
  JobFlags flags;

  void run() const {
    Recipe spec = load_recipe(recipe, flags.overrides());
    flags.apply_threads(spec.job);
    RecipeTrainingOptions options;
    options.out = out.empty() ? "runs/" + spec.name() : out;
    if (anew) forget(options.out);
    StopSignals signals;
    StageReporter reporter(json);
    options.threads = describe_host().cores;
    options.stop = &signals.stop();
    options.notice = [&](const std::string& text) { reporter.line(text); };
    options.progress = [&](const std::string& stage, std::int64_t done, std::int64_t all) {
      reporter.progress(fmt::format("{}: {} of {}", stage, done, all), false);
    };
    options.train_progress = [&](const TrainProgress& p) {
      reporter.progress(
          fmt::format("step {}/{}  epoch {}/{}  loss {:.4f}  {} frames/s  {} left", p.step, p.steps, p.epoch + 1,
                      p.epochs, p.loss, format_count(p.samples_per_second), format_seconds(p.seconds_left)),
          p.step == p.steps);
    };
    options.evaluated = [&](std::int64_t epoch, const Evaluation& evaluation) {
      reporter.line(fmt::format("epoch {}: held-out loss {:.4f}, frame error {:.2f} %", epoch + 1, evaluation.loss(),
                                100 * (1 - evaluation.accuracy())));
    };
    RecipeTraining training(spec, options);
    try {
      const ordered_json results = training.run();
      reporter.end_line();
      json ? fmt::print("{}\n", results.dump()) : print_results(results);
    } catch (...) {
      reporter.end_line();
      throw;
    }
  }

  // What is known of stages, so that all are done again.
  static void forget(const std::string& folder) {
    std::error_code none;
    std::filesystem::remove(RecipeRun(folder).stages(), none);
  }
};

}  // namespace

void add_speech_train(CLI::App& speech) {
  CLI::App* verb = speech.add_subcommand(
      "train", "Features, Gaussian mixtures, networks and word errors of a recipe: whatever is missing");
  auto command = std::make_shared<SpeechTrainCommand>();
  verb->add_option("recipe", command->recipe, "The recipe's file")->required();
  verb->add_option("--out", command->out, "The run's folder (default: runs/NAME)")->check(not_empty());
  auto* resume = verb->add_flag("--resume", command->resume, "Go on with what is there, which it does anyway");
  verb->add_flag("--anew", command->anew, "Do all stages again")->excludes(resume);
  verb->add_flag("--json", command->json, "Nothing but the results, as JSON");
  command->flags.add_to(*verb);
  verb->footer("Example: hadal speech train examples/speech/yesno.yaml --devices cpu:0,cpu:1");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
