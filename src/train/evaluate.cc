#include "train/evaluate.h"

#include <nlohmann/json.hpp>

#include "data/batch_loader.h"

namespace hadal {

std::vector<PlanKey> evaluation_keys(std::int64_t batch, std::int64_t samples) {
  return {{PlanMode::evaluate, std::min(batch, samples)}, {PlanMode::evaluate, samples % batch}};
}

Evaluation evaluate(Engine& engine, const SampleSource& source, std::int64_t batch) {
  BatchLoaderOptions options;
  options.batch = batch;
  options.order = SampleOrder::sequential;
  BatchLoader loader(source, options);
  Evaluation total;
  total.classes = elements(engine.network().layers.back().output);
  while (auto staged = loader.next()) {
    const BatchResult result = engine.run({PlanMode::evaluate, staged->rows()}, staged->data(), 0, 0);
    total.loss_sum += result.loss_sum;
    total.samples += result.rows;
    total.correct += result.correct;
    total.correct_top5 += result.correct_top5;
  }
  return total;
}

nlohmann::ordered_json to_json(const Evaluation& evaluation) {
  nlohmann::ordered_json json{{"loss", evaluation.loss()}, {"accuracy", evaluation.accuracy()}};
  if (evaluation.classes > 5) {
    json["top5_accuracy"] = static_cast<double>(evaluation.correct_top5) / static_cast<double>(evaluation.samples);
  }
  json["samples"] = evaluation.samples;
  return json;
}

}  // namespace hadal
