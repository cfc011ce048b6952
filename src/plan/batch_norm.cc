// Batch normalisation over the rows of all devices: each sums its own, gets the others' sums, and adds them up.

#include "base/error.h"
#include "plan/builder.h"

namespace hadal {

BatchNormShape PlanBuilder::batch_norm_shape(int l, int d) const {
  return {computed(l, d).count, pixels(l), std::get<BatchNormOptions>(network_.layers[l].options).epsilon};
}

std::int64_t PlanBuilder::rows_of_pass() const {
  std::int64_t rows = 0;
  for (int d = 0; d < device_count(); d += split()) rows += span_of(d).count;
  return rows;
}

// A device's rows are one part, or its shards are one each.
std::int64_t PlanBuilder::parts_of_pass() const {
  std::int64_t parts = 0;
  for (int d = 0; d < device_count(); d += split()) parts += works(d) ? rows_of(d).unit_count() : 0;
  return parts;
}

// The sums of all parts, in the order of their rows, on each device that wants them. `compute_sums` writes a device's
// own.
std::vector<Range> PlanBuilder::sums_of_all(int l, const std::string& name, const std::vector<bool>& wanted,
                                            const std::function<void(int, Range)>& compute_sums) {
  std::vector<Range> all;
  for (int d = 0; d < device_count(); ++d) {
    all.push_back(keeper_of(d) != d ? all[keeper_of(d)]
                                    : whole(add_tensor(name, d, TensorKind::workspace,
                                                       parts_of_pass() * batch_norm_shape(l, d).sums(), DType::f64)));
  }
  std::vector<Spread> flows;
  std::vector<std::int64_t> reached(static_cast<std::size_t>(split()));  // by partition
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    std::int64_t& first = reached[partition_of(d)];
    const std::int64_t count = rows_of(d).unit_count() * batch_norm_shape(l, d).sums();
    const auto own = [first, count, &all](int device) { return Range{all[device].tensor, first, count}; };
    compute_sums(d, own(d));
    flows.push_back({name + ".send", d, wanted, own});
    first += count;
  }
  spread(StreamKind::gather, l, std::move(flows));
  return all;
}

// Before the layer's forward: the batch's mean and variance, on each device.
void PlanBuilder::batch_norm_statistics(int l) {
  const Layer& layer = network_.layers[l];
  if (rows_of_pass() * pixels(l) < 2) {
    throw ConfigError("batch_norm '" + layer.name +
                      "' needs two elements of each channel to normalise by, and one sample has one: " +
                      (plan_.passes.size() > 1 ? "choose a larger data.batch for each pass"
                                               : "choose a data.batch that leaves more for the last step of an epoch"));
  }
  const std::vector<bool> all(options_.devices.size(), true);
  const std::vector<Range> sums = sums_of_all(l, layer.name + ".sums", all, [&](int d, Range own) {
    compute(layer.name + ".sum", d, l,
            BatchNormSums{batch_norm_shape(l, d), rows_of(d), layouts_[l + 1], options_.precision},
            {value(layer.inputs[0], d)}, {own});
  });
  const double momentum = std::get<BatchNormOptions>(layer.options).momentum;
  means_[l].clear();
  variances_[l].clear();
  for (int d = 0; d < device_count(); ++d) {
    const BatchNormShape shape = batch_norm_shape(l, d);
    means_[l].push_back(whole(add_tensor(layer.name + ".mean", d, TensorKind::workspace, shape.channels)));
    variances_[l].push_back(whole(add_tensor(layer.name + ".variance", d, TensorKind::workspace, shape.channels)));
    const bool running = keeper_of(d) == d;  // a copy of the moving means
    if (!running && !works(d)) continue;
    std::vector<Range> writes{means_[l][d], variances_[l][d]};
    for (const int p : {layer.running_mean, layer.running_variance}) {
      if (running) writes.push_back(whole(plan_.parameters[p].tensor[d]));
    }
    compute(layer.name + ".statistics", d, l,
            BatchNormStatistics{shape, parts_of_pass(), rows_of_pass(), momentum, running}, {sums[d]},
            std::move(writes));
  }
}

// The mean and the variance that a device normalises by.
std::vector<Range> PlanBuilder::statistics_of(int l, int d) const {
  if (training()) return {means_[l][d], variances_[l][d]};
  const Layer& layer = network_.layers[l];
  return {whole(plan_.parameters[layer.running_mean].tensor[d]),
          whole(plan_.parameters[layer.running_variance].tensor[d])};
}

// The whole gradient of weight and bias, on their owners and on all that need it for the gradient of their rows.
void PlanBuilder::batch_norm_gradient(int l) {
  const Layer& layer = network_.layers[l];
  const bool all = network_.learns(layer.inputs[0]) || options_.device_states;
  std::vector<bool> wanted(options_.devices.size());
  for (int d = 0; d < device_count(); ++d) wanted[d] = all && (works(d) || options_.device_states);
  std::vector<bool> updates(options_.devices.size(), options_.device_states);
  for (const OwnerSpan& owner : owners_[l]) wanted[owner.device] = updates[owner.device] = true;
  const std::vector<Range> sums = sums_of_all(l, layer.name + ".backward_sums", wanted, [&](int d, Range own) {
    std::vector<Range> reads{value(layer.inputs[0], d), diff(l, d)};
    for (const Range& range : statistics_of(l, d)) reads.push_back(range);
    compute(layer.name + ".backward_sum", d, l,
            BatchNormBackwardSums{batch_norm_shape(l, d), rows_of(d), layouts_[l + 1], options_.precision},
            std::move(reads), {own});
  });
  pass_gradients_[l].assign(options_.devices.size(), {});
  for (int d = 0; d < device_count(); ++d) {
    if (!wanted[d]) continue;
    const BatchNormShape shape = batch_norm_shape(l, d);
    GradientPart part{d, {0, rows_of_pass(), {}}};
    part.weight = add_tensor(layer.name + ".weight.gradient", d, TensorKind::gradient, shape.channels);
    part.bias = add_tensor(layer.name + ".bias.gradient", d, TensorKind::gradient, shape.channels);
    compute(layer.name + ".backward_weights", d, l, BatchNormBackwardWeights{shape, parts_of_pass(), rows_of_pass()},
            {sums[d]}, {whole(part.weight), whole(part.bias)});
    pass_gradients_[l][d] = {whole(part.weight), whole(part.bias)};
    if (updates[d]) add_to_earlier_passes(l, part);
  }
}

}  // namespace hadal
