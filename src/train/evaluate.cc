#include "train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/batch_loader.h"

namespace hadal {

namespace {

std::int64_t rows_of_batch(std::int64_t batch, const SampleSource& source) {
  return std::max<std::int64_t>(1, batch / source.crops()) * source.crops();
}

// Counts samples by the means of their crops' probabilities, [rows, classes].
void count_crops(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t crops,
                 Evaluation& total) {
  const auto classes = static_cast<std::size_t>(total.classes), step = static_cast<std::size_t>(crops);
  std::vector<double> mean(classes);
  for (std::size_t row = 0; row < labels.size(); row += step) {
    std::fill(mean.begin(), mean.end(), 0);
    for (std::size_t i = 0; i < step * classes; ++i) {
      mean[i % classes] += static_cast<double>(probabilities[row * classes + i]) / static_cast<double>(step);
    }
    const auto label = static_cast<std::size_t>(labels[row]);
    std::int64_t rank = 0;
    for (std::size_t c = 0; c < classes; ++c) rank += mean[c] > mean[label] || (mean[c] == mean[label] && c < label);
    // What fp32 holds as 0 is not infinitely wrong.
    total.loss_sum -= std::log(std::max(mean[label], double{std::numeric_limits<float>::min()}));
    total.count(labels[row], rank);
  }
}

}  // namespace

void Evaluation::count(std::int32_t label, std::int64_t rank) {
  of_class.resize(static_cast<std::size_t>(classes));
  ClassCount& of_label = of_class[static_cast<std::size_t>(label)];
  ++samples;
  ++of_label.samples;
  correct += rank == 0;
  of_label.correct += rank == 0;
  correct_top5 += rank < 5;
}

std::optional<double> Evaluation::mean_class_accuracy() const {
  double sum = 0, present = 0;
  std::int64_t least = samples, most = 0;
  for (const ClassCount& one : of_class) {
    if (one.samples == 0) continue;
    sum += static_cast<double>(one.correct) / static_cast<double>(one.samples);
    ++present;
    least = std::min(least, one.samples);
    most = std::max(most, one.samples);
  }
  if (least >= most) return std::nullopt;
  return sum / present;
}

std::vector<PlanKey> evaluation_keys(std::int64_t batch, const SampleSource& source) {
  const PlanMode mode = source.crops() > 1 ? PlanMode::predict : PlanMode::evaluate;
  const std::int64_t rows = rows_of_batch(batch, source);
  return {{mode, std::min(rows, source.size())}, {mode, source.size() % rows}};
}

Evaluation evaluate(Engine& engine, const SampleSource& source, std::int64_t batch) {
  BatchLoaderOptions options;
  options.batch = rows_of_batch(batch, source);
  options.order = SampleOrder::sequential;
  options.augment = false;
  BatchLoader loader(source, options);
  Evaluation total;
  total.classes = elements(engine.network().layers.back().output);
  while (auto staged = loader.next()) {
    if (source.crops() > 1) {
      count_crops(engine.predict(staged->rows(), staged->data()), staged->labels(), source.crops(), total);
      continue;
    }
    const BatchResult result = engine.run({PlanMode::evaluate, staged->rows()}, staged->data(), 0, 0);
    total.loss_sum += result.loss_sum;
    for (std::size_t row = 0; row < engine.ranks().size(); ++row) {
      total.count(staged->labels()[row], engine.ranks()[row]);
    }
  }
  return total;
}

nlohmann::ordered_json to_json(const Evaluation& evaluation) {
  nlohmann::ordered_json json{{"loss", evaluation.loss()}, {"accuracy", evaluation.accuracy()}};
  if (const auto mean = evaluation.mean_class_accuracy()) json["mean_class_accuracy"] = *mean;
  if (evaluation.classes > 5) {
    json["top5_accuracy"] = static_cast<double>(evaluation.correct_top5) / static_cast<double>(evaluation.samples);
  }
  json["samples"] = evaluation.samples;
  return json;
}

}  // namespace hadal
