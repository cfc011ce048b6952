#pragma once
// Training of a recipe's network on aligned frames, by the ordinary trainer.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "speech/recipe.h"
#include "speech/training_frames.h"
#include "train/trainer.h"

namespace hadal {

struct NetworkTraining {
  std::int64_t states = 0;
  std::string frames;  // folder of the npy files `train` and, if there is, `held_out`
  bool held_out = false;
  std::string network;  // the run's folder
  bool resume = false;  // from its newest checkpoint
  bool pretrain = false;
  int threads = 1;  // of pre-training
  std::function<void(const std::string&)> notice = [](const std::string&) {};
  std::function<void(Trainer&, const JobSpec&)> begin = [](Trainer&, const JobSpec&) {};
  std::function<void(const TrainProgress&)> progress = [](const TrainProgress&) {};
  std::function<void(std::int64_t, const Evaluation&)> evaluated = [](std::int64_t, const Evaluation&) {};
  const std::atomic<bool>* stop = nullptr;
};

// The job of `hadal train` for it.
JobSpec job_of(const Recipe& recipe, const NetworkTraining& training, std::int64_t feature_dim);

// `aligned` are the frames of `train`, whose frequencies of states the model keeps (network_model.h), and which
// pre-training sees. Returns summary.json. Throws what Trainer::run does.
nlohmann::ordered_json train_network(const Recipe& recipe, const NetworkTraining& training,
                                     std::span<const AlignedFrames> aligned);

}  // namespace hadal
