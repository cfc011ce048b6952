#include "ops/arguments.h"

#include <numeric>

namespace hadal {

namespace {

using Arguments = std::vector<OpArgument>;

std::int64_t source_elements(const ConvShape& s, const Rows& rows) {
  return rows.count * s.channels * s.height * s.width;
}
std::int64_t destination_elements(const ConvShape& s, const Rows& rows) {
  return rows.count * s.out * s.out_height() * s.out_width();
}

std::int64_t source_elements(const PoolShape& s, const Rows& rows) {
  return rows.count * s.channels * s.height * s.width;
}
std::int64_t destination_elements(const PoolShape& s, const Rows& rows) {
  return rows.count * s.channels * s.out_height * s.out_width;
}

std::int64_t sum(const std::vector<std::int64_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0});
}

Arguments list(const ConvForward& o) {
  return {{"source", Access::read, source_elements(o.shape, o.rows), o.type},
          {"weight", Access::read, o.shape.weight_elements(), o.type},
          {"bias", Access::read, o.shape.out},
          {"destination", Access::write, destination_elements(o.shape, o.rows), o.destination_type}};
}

Arguments list(const ConvBackwardData& o) {
  return {{"diff_destination", Access::read, destination_elements(o.shape, o.rows), o.type},
          {"weight", Access::read, o.shape.weight_elements(), o.type},
          {"diff_source", Access::write, source_elements(o.shape, o.rows), o.type}};
}

Arguments list(const ConvBackwardWeights& o) {
  return {{"source", Access::read, source_elements(o.shape, o.rows), o.type},
          {"diff_destination", Access::read, destination_elements(o.shape, o.rows), o.type},
          {"diff_weight", Access::write, o.shape.weight_elements()},
          {"diff_bias", Access::write, o.shape.out}};
}

Arguments list(const PoolForward& o) {
  const std::int64_t outputs = destination_elements(o.shape, o.rows);
  Arguments arguments = {{"source", Access::read, source_elements(o.shape, o.rows), o.type},
                         {"destination", Access::write, outputs, o.type}};
  if (o.training && o.shape.kind == PoolKind::max) {
    arguments.push_back({"workspace", Access::write, outputs, DType::i32});
  }
  return arguments;
}

Arguments list(const PoolBackward& o) {
  const std::int64_t outputs = destination_elements(o.shape, o.rows);
  Arguments arguments = {{"diff_destination", Access::read, outputs, o.type}};
  if (o.shape.kind == PoolKind::max) arguments.push_back({"workspace", Access::read, outputs, DType::i32});
  arguments.push_back({"diff_source", Access::write, source_elements(o.shape, o.rows), o.type});
  return arguments;
}

std::int64_t elements_of(const LrnShape& s, const Rows& rows) { return rows.count * s.channels * s.pixels; }

Arguments list(const LrnForward& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows);
  return {{"source", Access::read, elements, o.type}, {"destination", Access::write, elements, o.type}};
}

Arguments list(const LrnBackward& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows);
  if (o.in_place) return {{"source", Access::read, elements, o.type}, {"diff", Access::update, elements, o.type}};
  return {{"source", Access::read, elements, o.type},
          {"diff_destination", Access::read, elements, o.type},
          {"diff_source", Access::write, elements, o.type}};
}

Arguments list(const ActivationForward& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  if (o.in_place) return {{"values", Access::update, elements, o.type}};
  return {{"source", Access::read, elements, o.type}, {"destination", Access::write, elements, o.type}};
}

Arguments list(const ActivationBackward& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  if (o.in_place) return {{"destination", Access::read, elements, o.type}, {"diff", Access::update, elements, o.type}};
  return {{"destination", Access::read, elements, o.type},
          {"diff_destination", Access::read, elements, o.type},
          {"diff_source", Access::write, elements, o.type}};
}

Arguments list(const Dropout& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  return {{"source", Access::read, elements, o.type}, {"destination", Access::write, elements, o.type}};
}

Arguments list(const FullyConnectedForward& o) {
  return {{"source", Access::read, o.rows.count * o.in, o.type},
          {"weight", Access::read, o.out * o.in, o.type},
          {"bias", Access::read, o.out},
          {"destination", Access::write, o.rows.count * o.out, o.destination_type}};
}

Arguments list(const FullyConnectedBackwardData& o) {
  return {{"diff_destination", Access::read, o.rows.count * o.out, o.type},
          {"weight", Access::read, o.out * o.in, o.type},
          {"diff_source", Access::write, o.rows.count * o.in, o.type}};
}

Arguments list(const FullyConnectedBackwardWeights& o) {
  return {{"source", Access::read, o.rows.count * o.in, o.type},
          {"diff_destination", Access::read, o.rows.count * o.out, o.type},
          {"diff_weight", Access::write, o.outputs * o.in},
          {"diff_bias", Access::write, o.outputs}};
}

Arguments list(const FullyConnectedUpdate& o) {
  const auto& [in, out, first_output, outputs, units, rows, type] = o.gradient;
  Arguments arguments = {{"source", Access::read, rows.count * in, type},
                         {"diff_destination", Access::read, rows.count * out, type},
                         {"weight", Access::update, outputs * in},
                         {"bias", Access::update, outputs}};
  for (const std::string& state : o.rule.states()) {
    arguments.push_back({"weight_" + state, Access::update, outputs * in});
    arguments.push_back({"bias_" + state, Access::update, outputs});
  }
  if (o.copies) arguments.push_back({"copy", Access::write, outputs * in, DType::bf16});
  return arguments;
}

Arguments list(const ConcatForward& o) {
  Arguments arguments;
  for (const std::int64_t elements : o.row_elements) {
    arguments.push_back({"source", Access::read, o.rows.count * elements, o.type});
  }
  arguments.push_back({"destination", Access::write, o.rows.count * sum(o.row_elements), o.type});
  return arguments;
}

Arguments list(const ConcatBackward& o) {
  Arguments arguments = {{"diff_destination", Access::read, o.rows.count * sum(o.row_elements), o.type}};
  for (const std::int64_t elements : o.row_elements) {
    arguments.push_back({"diff_source", Access::write, o.rows.count * elements, o.type});
  }
  return arguments;
}

Arguments list(const Add& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  Arguments arguments(static_cast<std::size_t>(o.inputs), {"source", Access::read, elements, o.type});
  arguments.push_back({"destination", Access::write, elements, o.type});
  return arguments;
}

Arguments list(const SoftmaxCrossEntropy& o) {
  const std::int64_t n = o.rows.count;
  Arguments arguments = {{"logits", Access::read, n * o.classes},
                         {"labels", Access::read, n, DType::i32},
                         {"loss", Access::write, n},
                         {"rank", Access::write, n, DType::i32}};
  if (o.training) arguments.push_back({"diff_logits", Access::write, n * o.classes, o.type});
  return arguments;
}

Arguments list(const SoftmaxSums& o) {
  const std::int64_t n = o.rows.count;
  return {{"logits", Access::read, n * o.classes},
          {"labels", Access::read, n, DType::i32},
          {"sums", Access::write, n * kSoftmaxSums}};
}

Arguments list(const SoftmaxCrossEntropyPart& o) {
  const std::int64_t n = o.rows.count;
  Arguments arguments = {{"logits", Access::read, n * o.classes},
                         {"labels", Access::read, n, DType::i32},
                         {"sums", Access::read, n * o.parts * kSoftmaxSums},
                         {"loss", Access::write, n},
                         {"before", Access::write, n, DType::i32}};
  if (o.training) arguments.push_back({"diff_logits", Access::write, n * o.classes, o.type});
  return arguments;
}

Arguments list(const LabelRank& o) {
  const std::int64_t n = o.rows.count;
  return {{"before", Access::read, n * o.parts, DType::i32}, {"rank", Access::write, n, DType::i32}};
}

Arguments list(const Softmax& o) {
  const std::int64_t elements = o.rows.count * o.classes;
  return {{"logits", Access::read, elements}, {"probabilities", Access::write, elements}};
}

std::int64_t elements_of(const BatchNormShape& shape, const Rows& rows) {
  return rows.count * shape.channels * shape.pixels;
}

Arguments list(const BatchNormSums& o) {
  return {{"source", Access::read, elements_of(o.shape, o.rows), o.type},
          {"sums", Access::write, o.rows.unit_count() * o.shape.sums(), DType::f64}};
}

Arguments list(const BatchNormStatistics& o) {
  Arguments arguments = {{"sums", Access::read, o.parts * o.shape.sums(), DType::f64},
                         {"mean", Access::write, o.shape.channels},
                         {"variance", Access::write, o.shape.channels}};
  if (o.running) {
    arguments.push_back({"running_mean", Access::update, o.shape.channels});
    arguments.push_back({"running_variance", Access::update, o.shape.channels});
  }
  return arguments;
}

Arguments list(const BatchNormForward& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows), channels = o.shape.channels;
  return {{"source", Access::read, elements, o.type}, {"mean", Access::read, channels},
          {"variance", Access::read, channels},       {"weight", Access::read, channels},
          {"bias", Access::read, channels},           {"destination", Access::write, elements, o.type}};
}

Arguments list(const BatchNormBackwardSums& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows), channels = o.shape.channels;
  return {{"source", Access::read, elements, o.type},
          {"diff_destination", Access::read, elements, o.type},
          {"mean", Access::read, channels},
          {"variance", Access::read, channels},
          {"backward_sums", Access::write, o.rows.unit_count() * o.shape.sums(), DType::f64}};
}

Arguments list(const BatchNormBackwardWeights& o) {
  return {{"backward_sums", Access::read, o.parts * o.shape.sums(), DType::f64},
          {"diff_weight", Access::write, o.shape.channels},
          {"diff_bias", Access::write, o.shape.channels}};
}

Arguments list(const BatchNormBackwardData& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows), channels = o.shape.channels;
  return {{"source", Access::read, elements, o.type}, {"diff_destination", Access::read, elements, o.type},
          {"mean", Access::read, channels},           {"variance", Access::read, channels},
          {"weight", Access::read, channels},         {"diff_weight", Access::read, channels},
          {"diff_bias", Access::read, channels},      {"diff_source", Access::write, elements, o.type}};
}

Arguments list(const SumParts& o) {
  Arguments arguments(static_cast<std::size_t>(o.parts), {"part", Access::read, o.elements});
  arguments.push_back({"sum", Access::write, o.elements});
  return arguments;
}

Arguments list(const AdagradScale& o) {
  Arguments arguments;
  if (o.rule.weight_decay > 0) arguments.push_back({"weights", Access::read, o.elements});
  arguments.push_back({"gradient", Access::update, o.elements});
  arguments.push_back({"squares", Access::update, o.elements});
  return arguments;
}

Arguments list(const Update& o) {
  Arguments arguments(static_cast<std::size_t>(o.parts), {"part", Access::read, o.elements});
  if (o.scaled) arguments.push_back({"scale", Access::read, 1});
  arguments.push_back({"weights", Access::update, o.elements});
  for (const std::string& state : o.rule.states()) arguments.push_back({state, Access::update, o.elements});
  if (o.copies) arguments.push_back({"copy", Access::write, o.elements, DType::bf16});
  return arguments;
}

Arguments list(const SquaredNorms& o) {
  return {{"gradient", Access::read, sum(o.pieces)},
          {"squares", Access::write, static_cast<std::int64_t>(o.pieces.size()), DType::f64}};
}

Arguments list(const ClipScale& o) {
  return {{"squares", Access::read, o.count, DType::f64}, {"scale", Access::write, 1}, {"norm", Access::write, 1}};
}

Arguments list(const Convert& o) {
  return {{"numbers", Access::read, o.elements, o.from}, {"converted", Access::write, o.elements, o.to}};
}

}  // namespace

std::vector<OpArgument> arguments_of(const Op& op) {
  return std::visit([](const auto& which) { return list(which); }, op);
}

}  // namespace hadal
