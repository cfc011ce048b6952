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
std::int64_t weight_elements(const ConvShape& s) { return s.out * (s.channels / s.groups) * s.kernel * s.kernel; }

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
  return {{"source", Access::read, source_elements(o.shape, o.rows)},
          {"weight", Access::read, weight_elements(o.shape)},
          {"bias", Access::read, o.shape.out},
          {"destination", Access::write, destination_elements(o.shape, o.rows)}};
}

Arguments list(const ConvBackwardData& o) {
  return {{"diff_destination", Access::read, destination_elements(o.shape, o.rows)},
          {"weight", Access::read, weight_elements(o.shape)},
          {"diff_source", Access::write, source_elements(o.shape, o.rows)}};
}

Arguments list(const ConvBackwardWeights& o) {
  return {{"source", Access::read, source_elements(o.shape, o.rows)},
          {"diff_destination", Access::read, destination_elements(o.shape, o.rows)},
          {"diff_weight", Access::write, weight_elements(o.shape)},
          {"diff_bias", Access::write, o.shape.out}};
}

Arguments list(const PoolForward& o) {
  const std::int64_t outputs = destination_elements(o.shape, o.rows);
  Arguments arguments = {{"source", Access::read, source_elements(o.shape, o.rows)},
                         {"destination", Access::write, outputs}};
  if (o.training && o.shape.kind == PoolKind::max) {
    arguments.push_back({"workspace", Access::write, outputs, DType::i32});
  }
  return arguments;
}

Arguments list(const PoolBackward& o) {
  const std::int64_t outputs = destination_elements(o.shape, o.rows);
  Arguments arguments = {{"diff_destination", Access::read, outputs}};
  if (o.shape.kind == PoolKind::max) arguments.push_back({"workspace", Access::read, outputs, DType::i32});
  arguments.push_back({"diff_source", Access::write, source_elements(o.shape, o.rows)});
  return arguments;
}

std::int64_t elements_of(const LrnShape& s, const Rows& rows) { return rows.count * s.channels * s.pixels; }

Arguments list(const LrnForward& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows);
  return {{"source", Access::read, elements}, {"destination", Access::write, elements}};
}

Arguments list(const LrnBackward& o) {
  const std::int64_t elements = elements_of(o.shape, o.rows);
  return {{"source", Access::read, elements},
          {"diff_destination", Access::read, elements},
          {"diff_source", Access::write, elements}};
}

Arguments list(const ActivationForward& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  if (o.in_place) return {{"values", Access::update, elements}};
  return {{"source", Access::read, elements}, {"destination", Access::write, elements}};
}

Arguments list(const ActivationBackward& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  if (o.in_place) return {{"destination", Access::read, elements}, {"diff", Access::update, elements}};
  return {{"destination", Access::read, elements},
          {"diff_destination", Access::read, elements},
          {"diff_source", Access::write, elements}};
}

Arguments list(const Dropout& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  return {{"source", Access::read, elements}, {"destination", Access::write, elements}};
}

Arguments list(const FullyConnectedForward& o) {
  return {{"source", Access::read, o.rows.count * o.in},
          {"weight", Access::read, o.out * o.in},
          {"bias", Access::read, o.out},
          {"destination", Access::write, o.rows.count * o.out}};
}

Arguments list(const FullyConnectedBackwardData& o) {
  return {{"diff_destination", Access::read, o.rows.count * o.out},
          {"weight", Access::read, o.out * o.in},
          {"diff_source", Access::write, o.rows.count * o.in}};
}

Arguments list(const FullyConnectedBackwardWeights& o) {
  return {{"source", Access::read, o.rows.count * o.in},
          {"diff_destination", Access::read, o.rows.count * o.out},
          {"diff_weight", Access::write, o.outputs * o.in},
          {"diff_bias", Access::write, o.outputs}};
}

Arguments list(const FullyConnectedUpdate& o) {
  const auto& [in, out, first_output, outputs, units, rows] = o.gradient;
  Arguments arguments = {{"source", Access::read, rows.count * in},
                         {"diff_destination", Access::read, rows.count * out},
                         {"weight", Access::update, outputs * in},
                         {"bias", Access::update, outputs}};
  if (o.momentum != 0) {
    arguments.push_back({"weight_velocity", Access::update, outputs * in});
    arguments.push_back({"bias_velocity", Access::update, outputs});
  }
  return arguments;
}

Arguments list(const ConcatForward& o) {
  Arguments arguments;
  for (const std::int64_t elements : o.row_elements) {
    arguments.push_back({"source", Access::read, o.rows.count * elements});
  }
  arguments.push_back({"destination", Access::write, o.rows.count * sum(o.row_elements)});
  return arguments;
}

Arguments list(const ConcatBackward& o) {
  Arguments arguments = {{"diff_destination", Access::read, o.rows.count * sum(o.row_elements)}};
  for (const std::int64_t elements : o.row_elements) {
    arguments.push_back({"diff_source", Access::write, o.rows.count * elements});
  }
  return arguments;
}

Arguments list(const Add& o) {
  const std::int64_t elements = o.rows.count * o.row_elements;
  Arguments arguments(static_cast<std::size_t>(o.inputs), {"source", Access::read, elements});
  arguments.push_back({"destination", Access::write, elements});
  return arguments;
}

Arguments list(const SoftmaxCrossEntropy& o) {
  const std::int64_t n = o.rows.count;
  Arguments arguments = {{"logits", Access::read, n * o.classes},
                         {"labels", Access::read, n, DType::i32},
                         {"loss", Access::write, n},
                         {"rank", Access::write, n, DType::i32}};
  if (o.training) arguments.push_back({"diff_logits", Access::write, n * o.classes});
  return arguments;
}

Arguments list(const Softmax& o) {
  const std::int64_t elements = o.rows.count * o.classes;
  return {{"logits", Access::read, elements}, {"probabilities", Access::write, elements}};
}

Arguments list(const SumParts& o) {
  Arguments arguments(static_cast<std::size_t>(o.parts), {"part", Access::read, o.elements});
  arguments.push_back({"sum", Access::write, o.elements});
  return arguments;
}

Arguments list(const SgdUpdate& o) {
  Arguments arguments(static_cast<std::size_t>(o.parts), {"part", Access::read, o.elements});
  if (o.scaled) arguments.push_back({"scale", Access::read, 1});
  arguments.push_back({"weights", Access::update, o.elements});
  if (o.momentum != 0) arguments.push_back({"velocity", Access::update, o.elements});
  return arguments;
}

Arguments list(const SquaredNorms& o) {
  return {{"gradient", Access::read, sum(o.pieces)},
          {"squares", Access::write, static_cast<std::int64_t>(o.pieces.size()), DType::f64}};
}

Arguments list(const ClipScale& o) {
  return {{"squares", Access::read, o.count, DType::f64}, {"scale", Access::write, 1}, {"norm", Access::write, 1}};
}

}  // namespace

std::vector<OpArgument> arguments_of(const Op& op) {
  return std::visit([](const auto& which) { return list(which); }, op);
}

}  // namespace hadal
