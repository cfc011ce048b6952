#include "train/trained_model.h"

#include <filesystem>

#include "base/error.h"
#include "train/run_folder.h"

namespace hadal {

namespace fs = std::filesystem;

TrainedModel open_trained(const std::string& run_or_model) {
  TrainedModel trained;
  trained.path = run_or_model;
  if (fs::is_directory(run_or_model)) {
    const RunFolder folder(run_or_model);
    if (!fs::exists(folder.model())) {
      if (fs::exists(fs::path(run_or_model) / "recipe.yaml")) {
        throw ConfigError(run_or_model + ": is a run of 'hadal speech train': 'hadal speech decode " + run_or_model +
                          "' recognises its words; its network alone is " +
                          (fs::path(run_or_model) / "network").string());
      }
      throw ConfigError(run_or_model + ": holds no model.safetensors" +
                        (fs::exists(folder.checkpoints())
                             ? ": its training has not ended; 'hadal train' with --resume ends it"
                             : "; is it a run's folder?"));
    }
    trained.path = folder.model();
    trained.from_run = true;
    if (fs::exists(folder.job())) trained.job = load_job(folder.job());
    trained.job.parallel.chosen = stored_split(folder, trained.job);
    trained.job.parallel.machine.reset();  // where it was trained says nothing of where it is used
  } else if (!fs::exists(run_or_model)) {
    throw ConfigError(run_or_model + ": there is no such run folder or model file");
  }
  if (const std::string ending = fs::path(trained.path).extension(); ending == ".yaml" || ending == ".yml") {
    throw ConfigError(trained.path + ": is a job; what is wanted here is the folder of its run, as runs/NAME, or a " +
                      "model.safetensors");
  }
  trained.model = load_model(trained.path);
  if (trained.job.data.batch == 0) trained.job.data.batch = 100;
  trained.job.network = trained.model.spec;
  return trained;
}

std::unique_ptr<Engine> engine_for(const TrainedModel& trained, const std::vector<PlanKey>& keys) {
  auto engine = std::make_unique<Engine>(trained.job, trained.model.network, keys);
  for (int p = 0; p < static_cast<int>(trained.model.parameters.size()); ++p) {
    engine->runner().write_parameter(p, trained.model.parameters[p]);
  }
  return engine;
}

}  // namespace hadal
