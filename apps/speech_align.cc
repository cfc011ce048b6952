// hadal speech align: the features of a recipe, its Gaussian mixtures, and where they hear each word.

#include <fmt/format.h>

#include <memory>

#include "apps/job_flags.h"
#include "apps/stop_signals.h"
#include "apps/verbs.h"
#include "base/printable.h"
#include "speech/recipe_training.h"
#include "train/host.h"

namespace hadal {

namespace {

struct SpeechAlignCommand {
  std::string recipe, out;
  JobFlags flags;

  void run() const {
    Recipe spec = load_recipe(recipe, flags.overrides());
    flags.apply_threads(spec.job);
    RecipeTrainingOptions options;
    options.out = out.empty() ? "runs/" + spec.name() : out;
    StopSignals signals;
    options.threads = describe_host().cores;
    options.stop = &signals.stop();
    const auto line = [](const std::string& text) {
      fmt::print("{}\n", printable(text));
      std::fflush(stdout);
    };
    options.notice = line;
    options.progress = [&](const std::string& stage, std::int64_t done, std::int64_t all) {
      if (stage.starts_with("gmm")) line(fmt::format("{}/{}  {}", done, all, stage));
    };
    RecipeTraining training(spec, options);
    training.make_features();
    training.train_gmm();
    const RecipeRun files(options.out);
    fmt::print("model       {}\nstates      {}\nalignments  {}\n", printable(files.gmm_model()),
               printable(files.states()), printable(files.alignment("train")));
  }
};

}  // namespace

void add_speech_align(CLI::App& speech) {
  CLI::App* verb = speech.add_subcommand(
      "align", "The first stages of a recipe: features, Gaussian mixtures, and the state of each frame");
  auto command = std::make_shared<SpeechAlignCommand>();
  verb->add_option("recipe", command->recipe, "The recipe's file")->required();
  verb->add_option("--out", command->out, "The run's folder (default: runs/NAME)")->check(not_empty());
  command->flags.add_to(*verb);
  verb->footer("Example: hadal speech align examples/speech/yesno.yaml; hadal speech train goes on from there");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
