#pragma once
// Loss and accuracy over a data set: data-parallel, every sample counted once (a bad one that is
// skipped: another in its place).

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "data/sample_source.h"
#include "train/engine.h"

namespace hadal {

struct Evaluation {
  double loss_sum = 0;
  std::int64_t samples = 0, correct = 0, correct_top5 = 0, classes = 0;

  double loss() const { return loss_sum / static_cast<double>(samples); }
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(samples); }
};

// The keys that an engine needs for evaluate().
std::vector<PlanKey> evaluation_keys(std::int64_t batch, const SampleSource& source);

// Of samples that are several crops of one (SampleSource::crops), that one is counted once, by the mean of their
// probabilities; a batch holds all crops of a sample, if it must more than `batch`.
Evaluation evaluate(Engine& engine, const SampleSource& source, std::int64_t batch);

// {"loss", "accuracy", "top5_accuracy", "samples"}; the third only where there are more than five classes.
nlohmann::ordered_json to_json(const Evaluation& evaluation);

}  // namespace hadal
