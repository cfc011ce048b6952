// The steps between forward and backward: the loss and its gradient, or probabilities.

#include "base/error.h"
#include "plan/builder.h"

namespace hadal {

// The last layer's value, whole.
RowTensor PlanBuilder::logits() {
  const int last = static_cast<int>(network_.layers.size()) - 1;
  const RowTensor& value = values_[root(last) + 1];
  const RowShape whole_shape = whole_shape_of(last);
  if (value.shape.columns == whole_shape.columns) return value;
  return bring(last, "logits", value, whole_shape, std::vector<bool>(options_.devices.size()));
}

Range PlanBuilder::in_fp32(const Range& numbers, int d) {
  const PlanTensor from = plan_.tensors[numbers.tensor];
  if (from.type == DType::f32) return numbers;
  const Range converted = whole(add_tensor("logits", d, TensorKind::activation, numbers.count));
  plan_.tensors[converted.tensor].width = from.width;
  plan_.tensors[converted.tensor].first_column = from.first_column;
  compute("logits.convert", d, -1, Convert{numbers.count, from.type, DType::f32}, {numbers}, {converted});
  return converted;
}

void PlanBuilder::loss() {
  const int last = static_cast<int>(network_.layers.size()) - 1;
  const bool divided = values_[root(last) + 1].shape.columns != whole_shape_of(last).columns;
  if (options_.mode == PlanMode::predict) return probabilities(last);
  // Under `reproducible` a row's sum is one of all classes in one order.
  divided&& options_.reproducible_shards == 0 ? divided_loss(last) : whole_loss(last);
}

void PlanBuilder::probabilities(int last) {
  const std::int64_t classes = elements(network_.layers[last].output);
  const RowTensor scores = logits();
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const Rows rows = rows_of(d);
    ResultRows result{d, rows.first, rows.count};
    result.probabilities = add_tensor("probabilities", d, TensorKind::result, rows.count * classes);
    compute("softmax", d, -1, Softmax{classes, rows}, {in_fp32(own_rows(scores, d), d)}, {whole(result.probabilities)});
    if (partition_of(d) == 0) plan_.results.push_back(result);  // all of a group have the same
  }
}

// Each device of a group computes all of it, from all logits.
void PlanBuilder::whole_loss(int last) {
  const std::int64_t classes = elements(network_.layers[last].output);
  const RowTensor scores = logits();
  const bool divided = scores.shape.columns != shape_of(last).columns;
  const bool backward = training() && network_.learns(last);
  const std::vector<bool> none(options_.devices.size());
  RowTensor diff;
  if (backward) {
    diff = add_rows(kNetworkInput, "loss.diff", TensorKind::activation, options_.precision, scores.shape,
                    divided ? none : full_diff_[last + 1]);
  }
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const Rows rows = rows_of(d);
    ResultRows result{d, rows.first, rows.count};
    result.loss = add_tensor("loss", d, TensorKind::result, rows.count);
    result.rank = add_tensor("rank", d, TensorKind::result, rows.count, DType::i32);
    std::vector<Range> writes{whole(result.loss), whole(result.rank)};
    if (backward) writes.push_back(own_rows(diff, d));
    compute("loss", d, -1, SoftmaxCrossEntropy{classes, rows, options_.rows, backward, options_.precision},
            {in_fp32(own_rows(scores, d), d), whole(labels_.tensor[d])}, std::move(writes));
    if (partition_of(d) == 0) plan_.results.push_back(result);  // all of a group have the same
  }
  if (!backward) return;
  diffs_[last + 1] =
      divided ? bring(last, network_.layers[last].name + ".diff", diff, shape_of(last), full_diff_[last + 1]) : diff;
}

// A row's numbers of each partition: `each` of them.
RowShape PlanBuilder::columns_of_parts(std::int64_t each) const {
  RowShape shape{{}, Layout::canonical, 1};
  for (int d = 0; d < device_count(); ++d) shape.columns.push_back({partition_of(d) * each, each});
  return shape;
}

// What a softmax needs of all classes, on each device of the group.
RowTensor PlanBuilder::bring_sums(int last, const std::vector<Range>& logits) {
  const std::vector<bool> none(options_.devices.size());
  RowShape shape = columns_of_parts(kSoftmaxSums);
  const RowTensor own = add_rows(kNetworkInput, "loss.own_sums", TensorKind::activation, DType::f32, shape, none);
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const Columns classes = shape_of(last).columns[d];
    compute("loss.sum", d, -1, SoftmaxSums{classes.count, classes.first, rows_of(d)},
            {logits[d], whole(labels_.tensor[d])}, {own_rows(own, d)});
  }
  shape.columns.assign(options_.devices.size(), {0, split() * kSoftmaxSums});
  return bring(last, "loss.sums", own, shape, none);
}

// Each device has the logits of its classes, and computes their gradients. The loss is the same on all of a group.
void PlanBuilder::divided_loss(int last) {
  const std::vector<bool> none(options_.devices.size());
  const RowTensor& scores = values_[root(last) + 1];
  const RowShape classes = shape_of(last);
  HADAL_CHECK(scores.shape.columns == classes.columns);
  std::vector<Range> logits(options_.devices.size());
  for (int d = 0; d < device_count(); ++d) {
    if (works(d)) logits[d] = in_fp32(own_rows(scores, d), d);
  }
  const RowTensor sums = bring_sums(last, logits);
  const bool backward = training() && network_.learns(last);
  RowTensor diff;
  if (backward) {
    diff = add_rows(kNetworkInput, "loss.diff", TensorKind::activation, options_.precision, scores.shape,
                    full_diff_[last + 1]);
  }
  RowShape shape = columns_of_parts(1);
  const RowTensor counts = add_rows(kNetworkInput, "loss.own_counts", TensorKind::activation, DType::i32, shape, none);
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const Rows rows = rows_of(d);
    ResultRows result{d, rows.first, rows.count};
    result.loss = add_tensor("loss", d, TensorKind::result, rows.count);
    std::vector<Range> writes{whole(result.loss), own_rows(counts, d)};
    if (backward) writes.push_back(own_rows(diff, d));
    compute("loss", d, -1,
            SoftmaxCrossEntropyPart{classes.columns[d].count, classes.columns[d].first, split(), rows, options_.rows,
                                    backward, options_.precision},
            {logits[d], whole(labels_.tensor[d]), own_rows(sums, d)}, std::move(writes));
    if (partition_of(d) == 0) plan_.results.push_back(result);
  }
  for (int d = 0; d < device_count(); ++d) shape.columns[d] = {0, partition_of(d) == 0 ? split() : 0};
  counts_ = bring(last, "loss.counts", counts, shape, none);
  if (backward) diffs_[last + 1] = diff;
}

// Of a divided loss, where results are given. After backward, which need not wait for the counts.
void PlanBuilder::add_up_ranks() {
  for (ResultRows& result : plan_.results) {
    if (result.loss < 0 || result.rank >= 0) continue;
    result.rank = add_tensor("rank", result.device, TensorKind::result, result.count, DType::i32);
    compute("loss.rank", result.device, -1, LabelRank{split(), rows_of(result.device)},
            {own_rows(counts_, result.device)}, {whole(result.rank)});
  }
}

}  // namespace hadal
