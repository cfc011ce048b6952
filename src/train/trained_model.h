#pragma once
// What `eval` and `predict` are pointed at: a run's folder, or a model file alone.

#include <optional>
#include <string>

#include "spec/job.h"
#include "train/engine.h"
#include "train/model_file.h"

namespace hadal {

struct TrainedModel {
  std::string path;  // of the model file
  Model model;
  bool from_run = false;
  JobSpec job;  // the run's; for a model file alone one that evaluates it on the cores of this machine
};

// Throws ConfigError where there is neither, DataError where the model is damaged.
TrainedModel open_trained(const std::string& run_or_model);

// An engine with the model's parameters.
std::unique_ptr<Engine> engine_for(const TrainedModel& trained, const std::vector<PlanKey>& keys);

}  // namespace hadal
