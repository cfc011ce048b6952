#pragma once
// Operators: what a kernel is asked to do, as data. A plan holds them; a backend (src/ops) binds each to a kernel.
//
// Every operator names its arguments in the order in which a kernel gets them: first what it reads, then what it
// writes. N is rows.count. "diff" is the gradient of the loss.
//
// An operator's `type`, f32 or bf16, is that of the numbers between layers (sources, destinations and their diffs) and
// of the weights that products read. All else is fp32 unless said otherwise: biases, gradients of parameters, the
// parameters that are updated. Sums and functions are computed in fp32 and rounded once, when they are written.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "nn/layer.h"
#include "optim/rule.h"
#include "tensor/tensor.h"

namespace hadal {

// Rows (samples) of the global batch. `units` are the fixed pieces, in rows, on which a result is defined under
// `reproducible`: the kernel must give the bits that running unit by unit gives (docs/reproducible.md). Empty: free.
struct Rows {
  std::int64_t first = 0;  // index in the global batch: the counter of random numbers
  std::int64_t count = 0;
  std::vector<std::int64_t> units;

  // All rows are one unit where there are none.
  std::int64_t unit_count() const { return units.empty() ? 1 : static_cast<std::int64_t>(units.size()); }
  std::int64_t unit(std::int64_t i) const { return units.empty() ? count : units[static_cast<std::size_t>(i)]; }
};

// Outputs (channels) of a product's layer, in pieces. Under `reproducible` they define its results beside the rows'
// units: a piece's values, and gradients of its weights, are what a layer of that piece alone gives; the gradient of
// the source is the sum of the gradients by each piece, added by halves (SumParts), of a convolution in groups by those
// of a group. Then the bits do not depend on how pieces are divided over devices, as long as each device has one half,
// or half of a half, ... Empty: free. Of fp32 numbers only.
using OutputUnits = std::vector<std::int64_t>;

struct ConvShape {
  std::int64_t channels = 0, height = 0, width = 0;  // of the source
  std::int64_t out = 0;
  Extent kernel = 0, stride = 1, pad = 0;
  std::int64_t groups = 1;
  Extent dilation = 1;  // from one number of the kernel to the next

  // What the kernel covers.
  Extent window() const { return {dilation.height * (kernel.height - 1) + 1, dilation.width * (kernel.width - 1) + 1}; }
  std::int64_t out_height() const { return (height + 2 * pad.height - window().height) / stride.height + 1; }
  std::int64_t out_width() const { return (width + 2 * pad.width - window().width) / stride.width + 1; }
  std::int64_t weight_elements() const { return out * (channels / groups) * kernel.area(); }
};

// reads source [N, channels, height, width], weight [out, channels/groups, kernel.height, kernel.width], bias [out];
// writes destination [N, out, out_height, out_width].
struct ConvForward {
  ConvShape shape;
  Rows rows;
  Layout source = Layout::canonical, destination = Layout::canonical;
  DType type = DType::f32, destination_type = DType::f32;
  OutputUnits output_units{};
};

// reads diff_destination, weight; writes diff_source.
struct ConvBackwardData {
  ConvShape shape;
  Rows rows;
  Layout source = Layout::canonical, destination = Layout::canonical;
  DType type = DType::f32;
  OutputUnits output_units{};
};

// reads source, diff_destination; writes diff_weight, diff_bias: sums over the rows. Its rows are always one unit.
struct ConvBackwardWeights {
  ConvShape shape;
  Rows rows;
  Layout source = Layout::canonical, destination = Layout::canonical;
  DType type = DType::f32;
  OutputUnits output_units{};
};

struct PoolShape {
  PoolKind kind = PoolKind::max;
  std::int64_t channels = 0, height = 0, width = 0;
  Extent kernel = 0, stride = 1, pad = 0;
  std::int64_t out_height = 0, out_width = 0;
};

// reads source; writes destination, and for max pooling in training a workspace of 4 bytes for each output element,
// whose contents are the backend's own.
struct PoolForward {
  PoolShape shape;
  Rows rows;
  Layout source = Layout::canonical, destination = Layout::canonical;
  bool training = false;
  DType type = DType::f32;
};

// reads diff_destination, and for max pooling the workspace; writes diff_source. A maximum that several elements share
// goes to the first in row-major order of the window.
struct PoolBackward {
  PoolShape shape;
  Rows rows;
  Layout source = Layout::canonical, destination = Layout::canonical;
  DType type = DType::f32;
};

// Images of `pixels` places, normalised across `channels` (nn/layer.h, LrnOptions).
struct LrnShape {
  std::int64_t channels = 0, pixels = 0;
  LrnOptions options;
};

// reads source; writes destination. Both in one layout.
struct LrnForward {
  LrnShape shape;
  Rows rows;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
};

// reads source, diff_destination; writes diff_source. `in_place`: reads source; writes (in place) the diff.
struct LrnBackward {
  LrnShape shape;
  Rows rows;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
  bool in_place = false;
};

// Batch normalisation (nn/layer.h, BatchNormOptions) of images of `pixels` places.
struct BatchNormShape {
  std::int64_t channels = 0, pixels = 0;
  float epsilon = 0;

  std::int64_t sums() const { return 2 * channels; }
};

// reads source; writes sums (f64) [units, 2, channels]: of each unit of the rows (of all where there are none) and each
// channel the sum of its elements, then of their squares. A unit's bits depend on its rows alone.
struct BatchNormSums {
  BatchNormShape shape;
  Rows rows;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
};

// reads sums (f64) [parts, 2, channels]; writes mean, variance (biased) [channels], and with `running` (in place)
// running_mean, running_variance. The parts are added in their order, and are of `rows` rows together.
struct BatchNormStatistics {
  BatchNormShape shape;
  std::int64_t parts = 1, rows = 0;
  double momentum = 0;
  bool running = false;
};

// reads source, mean, variance, weight, bias; writes destination.
struct BatchNormForward {
  BatchNormShape shape;
  Rows rows;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
};

// reads source, diff_destination, mean, variance; writes sums (f64) [units, 2, channels] as BatchNormSums does: of
// diff_destination times the normalised source, then of diff_destination.
struct BatchNormBackwardSums {
  BatchNormShape shape;
  Rows rows;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
};

// reads such sums of `parts`, of `rows` rows together; writes diff_weight, diff_bias [channels].
struct BatchNormBackwardWeights {
  BatchNormShape shape;
  std::int64_t parts = 1, rows = 0;
};

// reads source, diff_destination, mean, variance, weight, diff_weight, diff_bias; writes diff_source. `batch_rows`:
// that the statistics are of. With n their elements and x' the normalised source:
//   diff_source = weight / sqrt(variance + epsilon) (diff_destination - diff_bias / n - x' diff_weight / n)
struct BatchNormBackwardData {
  BatchNormShape shape;
  Rows rows;
  std::int64_t batch_rows = 0;
  Layout layout = Layout::canonical;
  DType type = DType::f32;
};

// reads source; writes destination. Both in one layout, which does not matter. `in_place`: writes (in place) the
// values.
struct ActivationForward {
  ActivationKind kind = ActivationKind::relu;
  std::int64_t row_elements = 0;
  Rows rows;
  bool in_place = false;
  DType type = DType::f32;
};

// reads destination, diff_destination; writes diff_source. `in_place`: reads destination; writes (in place) the diff.
struct ActivationBackward {
  ActivationKind kind = ActivationKind::relu;
  std::int64_t row_elements = 0;
  Rows rows;
  bool in_place = false;
  DType type = DType::f32;
};

// reads source; writes destination = source * mask / (1 - p). Serves backward too, on diffs. A row is row_elements of
// the layer's elements, from first_element on. The mask of the layer's element e of row r is drawn at counter (step,
// rows.first + r, e / 4) of RandomSequence{seed, dropout, layer}, number e % 4: kept where the number is at least p *
// 2^32. Canonical layout.
struct Dropout {
  float p = 0.5f;
  std::int64_t row_elements = 0;
  Rows rows;
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;
  DType type = DType::f32;
  std::int64_t first_element = 0;
};

// reads source [N, in], weight [out, in], bias [out]; writes destination [N, out].
struct FullyConnectedForward {
  std::int64_t in = 0, out = 0;
  Rows rows;
  DType type = DType::f32, destination_type = DType::f32;
  OutputUnits output_units{};
};

// reads diff_destination [N, out], weight; writes diff_source [N, in].
struct FullyConnectedBackwardData {
  std::int64_t in = 0, out = 0;
  Rows rows;
  DType type = DType::f32;
  OutputUnits output_units{};
};

// reads source [N, in], diff_destination [N, out]; writes diff_weight [outputs, in] and diff_bias [outputs] of the
// outputs first_output ... first_output + outputs - 1: sums over the rows in their order. `output_units`: of
// those; the rows are one unit.
struct FullyConnectedBackwardWeights {
  std::int64_t in = 0, out = 0, first_output = 0, outputs = 0;
  OutputUnits output_units;
  Rows rows;
  DType type = DType::f32;
};

// FullyConnectedBackwardWeights and the Update of those outputs in one, block by block while a block's gradient is
// hot: the gradient as a whole is nowhere. reads source, diff_destination; writes (in place) weight [outputs, in], bias
// [outputs], and each state of the rule, the weight's before the bias's; with `copies` writes the new weights in bf16.
// Bits are those of the two operators one after the other.
struct FullyConnectedUpdate {
  FullyConnectedBackwardWeights gradient;
  UpdateRule rule, bias_rule;  // of one kind
  bool copies = false;
};

// reads inputs of [N, row_elements[i]]...; writes [N, sum of row_elements]. Canonical layout.
struct ConcatForward {
  std::vector<std::int64_t> row_elements;
  Rows rows;
  DType type = DType::f32;
};

// reads diff_destination; writes each input's diff.
struct ConcatBackward {
  std::vector<std::int64_t> row_elements;
  Rows rows;
  DType type = DType::f32;
};

// reads `inputs` arrays of [N, row_elements]; writes their sum, added by halves as SumParts does.
struct Add {
  int inputs = 2;
  std::int64_t row_elements = 0;
  Rows rows;
  DType type = DType::f32;
};

// reads logits [N, classes], labels [N] (i32); writes loss [N] (-log softmax of the label), rank [N] (i32: the number
// of classes that come before the label: with a larger logit, or the same logit and a lower number; a NaN anywhere in a
// row makes its loss NaN), and in training diff_logits = (softmax - one hot) / global_batch. In training a loss that is
// not finite makes the kernel throw NotFinite.
struct SoftmaxCrossEntropy {
  std::int64_t classes = 0;
  Rows rows;
  std::int64_t global_batch = 0;
  bool training = false;
  DType type = DType::f32;  // of diff_logits
};

// The same where each of some devices has the logits of some classes only, in three steps. None needs the others'
// logits: sums go to all, and counts to who wants the rank.

// reads logits [N, classes], of the classes from first_class on, labels [N] (i32); writes sums [N, 3]: the maximum m
// (of what is not NaN), the sum of exp(logit - m), and the label's logit, 0 where the label is none of these classes.
// Where m is minus infinity, the sum of exp(logit).
constexpr std::int64_t kSoftmaxSums = 3;
struct SoftmaxSums {
  std::int64_t classes = 0, first_class = 0;
  Rows rows;
};

// reads logits and labels as SoftmaxSums does, sums [N, parts, 3] of all classes; writes loss [N], before [N] (i32: how
// many of these classes come before the label), and in training diff_logits [N, classes].
struct SoftmaxCrossEntropyPart {
  std::int64_t classes = 0, first_class = 0, parts = 1;
  Rows rows;
  std::int64_t global_batch = 0;
  bool training = false;
  DType type = DType::f32;  // of diff_logits
};

// reads before [N, parts] (i32); writes rank [N] (i32), their sum.
struct LabelRank {
  std::int64_t parts = 1;
  Rows rows;
};

// reads logits [N, classes]; writes probabilities. fp32.
struct Softmax {
  std::int64_t classes = 0;
  Rows rows;
};

// reads `parts` arrays of `elements`; writes their sum, by halves: sum(0..n) = sum(0..ceil(n/2)) + sum(ceil(n/2)..n),
// times `scale`.
struct SumParts {
  int parts = 1;
  std::int64_t elements = 0;
  float scale = 1;
};

// Adagrad where each device keeps its own sums of squares s, from the gradient g of its own rows: `share` of the batch.
// What the whole batch's gradient is, as far as these rows tell, is scaled before it is summed with the others':
//
//   e = g / share + weight_decay w;   s = s + e e;   g = share (e / (sqrt(s) + epsilon))
//
// Rounded after each operation. reads w where the rule has weight decay; writes (in place) g, s.
struct AdagradScale {
  std::int64_t elements = 0;
  UpdateRule rule;
  float share = 1;
};

// A rule (optim/rule.h) by the gradient: scale (sum of the parts, as SumParts). Rounded after each operation, never
// fused; StepValues::step counts the updates before. A gradient that is not finite is not stored: the kernel throws
// NotFinite. reads the parts, and with `scaled` a scale [1]; writes (in place) w, and each state of the rule; with
// `copies` the new w in bf16 too.
struct Update {
  int parts = 1;
  std::int64_t elements = 0;
  UpdateRule rule;
  bool scaled = false;
  bool copies = false;
};

// reads a gradient; writes the sum of squares (f64) of each of its pieces, added in order, in double precision.
struct SquaredNorms {
  std::vector<std::int64_t> pieces;
};

// reads sums of squares [count] (f64); writes scale [1] = min(1, max_norm / (norm + 1e-6)), norm [1] (PyTorch's
// clip_grad_norm_).
struct ClipScale {
  std::int64_t count = 0;
  double max_norm = 0;
};

// reads numbers; writes them in another type, f32 or bf16.
struct Convert {
  std::int64_t elements = 0;
  DType from = DType::f32, to = DType::bf16;
};

using Op =
    std::variant<ConvForward, ConvBackwardData, ConvBackwardWeights, PoolForward, PoolBackward, LrnForward, LrnBackward,
                 BatchNormSums, BatchNormStatistics, BatchNormForward, BatchNormBackwardSums, BatchNormBackwardWeights,
                 BatchNormBackwardData, ActivationForward, ActivationBackward, Dropout, FullyConnectedForward,
                 FullyConnectedBackwardData, FullyConnectedBackwardWeights, FullyConnectedUpdate, ConcatForward,
                 ConcatBackward, Add, SoftmaxCrossEntropy, SoftmaxSums, SoftmaxCrossEntropyPart, LabelRank, Softmax,
                 SumParts, AdagradScale, Update, SquaredNorms, ClipScale, Convert>;

// "conv_forward", ...
std::string op_name(const Op& op);

// Multiply-adds count 2; 0 for what is not a matrix product or a convolution.
std::int64_t op_flops(const Op& op);

}  // namespace hadal
