#pragma once
// Loss and accuracy over a data set: data-parallel, every sample counted once (a bad one that is
// skipped: another in its place).

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "data/sample_source.h"
#include "train/engine.h"

namespace hadal {

struct ClassCount {
  std::int64_t samples = 0, correct = 0;
};

struct Evaluation {
  double loss_sum = 0;
  std::int64_t samples = 0, correct = 0, correct_top5 = 0, classes = 0;
  std::vector<ClassCount> of_class;

  double loss() const { return loss_sum / static_cast<double>(samples); }
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(samples); }

  // The mean of the accuracies of the classes that there are samples of, where these are not equally many in each: else
  // it is accuracy().
  std::optional<double> mean_class_accuracy() const;

  // A sample whose label has this many larger logits, or as large ones before it.
  void count(std::int32_t label, std::int64_t rank);
};

// The keys that an engine needs for evaluate().
std::vector<PlanKey> evaluation_keys(std::int64_t batch, const SampleSource& source);

// Of samples that are several crops of one (SampleSource::crops), that one is counted once, by the mean of their
// probabilities; a batch holds all crops of a sample, if it must more than `batch`.
Evaluation evaluate(Engine& engine, const SampleSource& source, std::int64_t batch);

// {"loss", "accuracy", "top5_accuracy", "samples"}; the third only where there are more than five classes, and
// "mean_class_accuracy" where that is another number.
nlohmann::ordered_json to_json(const Evaluation& evaluation);

}  // namespace hadal
