#pragma once
// A recipe from recordings to word errors, stage by stage: features, Gaussian mixtures and their alignment, networks,
// words. What an earlier process has done is not done again where nothing it depends on has changed.

#include <atomic>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "speech/network_training.h"
#include "speech/recipe.h"
#include "speech/recipe_run.h"
#include "speech/speech_model.h"
#include "speech/stage_log.h"
#include "speech/transcript_places.h"

namespace hadal {

struct RecipeTrainingOptions {
  std::string out;  // the run's folder
  int threads = 1;  // of what is no training of a network; results do not depend on it
  std::function<void(const std::string&)> notice = [](const std::string&) {};  // a line: what a stage did
  // Of the stage at work: so many of so many.
  std::function<void(const std::string& stage, std::int64_t, std::int64_t)> progress =
      [](const std::string&, std::int64_t, std::int64_t) {};
  // As of NetworkTraining.
  std::function<void(Trainer&, const JobSpec&)> begin = [](Trainer&, const JobSpec&) {};
  std::function<void(const TrainProgress&)> train_progress = [](const TrainProgress&) {};
  std::function<void(std::int64_t, const Evaluation&)> evaluated = [](std::int64_t, const Evaluation&) {};
  const std::atomic<bool>* stop = nullptr;
};

// One thread calls it. Functions throw ConfigError and DataError of what is wrong with recipe and data, StorageError,
// Stopped, and what Trainer throws.
class RecipeTraining {
 public:
  // Locks the run's folder against other processes.
  RecipeTraining(const Recipe& recipe, const RecipeTrainingOptions& options);

  // Everything that is missing; results.json, which is also returned: of each model and part the word errors, and of
  // the network its frame errors.
  nlohmann::ordered_json run();

  // The stages one by one, in this order.
  void make_features();
  void train_gmm();
  void make_language();
  void train_networks();
  void recognise(AcousticKind kind);

 private:
  std::string key_of(const std::string& stage, std::vector<std::string> inputs) const;
  const FeatureSet& part(const std::string& name);
  void check_stop() const;
  void tell_left_out(const std::string& what, const LeftOut& left_out) const;
  std::string extra_transcripts() const { return recipe_.data.extra + "/text"; }
  void check_extra() const;
  void tell_shared_speakers(const std::string& folder, const FeatureSet& trained, const FeatureSet& test) const;
  void tell_unknown_words(const FeatureSet& test, const Lexicon& lexicon) const;
  void train_pass(std::int64_t pass);
  void align_for_pass(std::int64_t pass);
  void tune(AcousticKind kind);
  void recognise_part(AcousticKind kind, const std::string& name);
  nlohmann::ordered_json results() const;

  Recipe recipe_;
  RecipeTrainingOptions options_;
  RecipeRun run_;
  RunFolder folder_;
  StageLog log_;
  TranscriptPlaces places_;                  // of the utterances that are trained on
  std::map<std::string, FeatureSet> parts_;  // that were read
  std::map<std::string, std::string> keys_;  // of stages that are done
};

}  // namespace hadal
