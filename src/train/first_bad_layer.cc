#include "train/first_bad_layer.h"

#include <algorithm>
#include <cmath>

#include "train/engine.h"

namespace hadal {

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

std::string first_bad_layer(const JobSpec& job, const LocalRunner& runner, std::int64_t rows, const void* batch) {
  const std::string found = "the first NaN or infinity is in ";
  const Network network = build_network(job.network);
  JobSpec alone = job;
  alone.parallel = {};
  alone.exchange = {};
  RunnerOptions options;
  options.keep_activations = true;
  Engine engine(alone, network, {{PlanMode::evaluate, rows}}, options);
  for (int p = 0; p < static_cast<int>(network.parameters.size()); ++p) {
    const std::vector<float> values = runner.read_parameter(p);
    if (network.parameters[p].learned && !all_finite(values)) return found + network.parameters[p].name;
    engine.runner().write_parameter(p, values);
  }
  engine.run({PlanMode::evaluate, rows}, batch, 0, 0);
  const Plan& plan = engine.runner().plan(0);
  for (const Step& step : plan.steps) {
    // Here by the moving means, not as it was in training.
    if (step.layer >= 0 && std::holds_alternative<BatchNormOptions>(network.layers[step.layer].options)) break;
    const int tensor = step.writes[0].tensor;
    if (plan.tensors[tensor].type == DType::i32 || all_finite(engine.runner().read_numbers(0, tensor))) continue;
    return found + (step.layer >= 0 ? "the output of " + network.layers[step.layer].name : plan.tensors[tensor].name);
  }
  return "";
}

}  // namespace hadal
