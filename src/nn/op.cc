#include "nn/op.h"

namespace hadal {

namespace {

template <class... Cases>
struct Overload : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overload(Cases...) -> Overload<Cases...>;

std::int64_t conv_flops(const ConvShape& s, const Rows& rows) {
  return 2 * rows.count * s.out * s.out_height() * s.out_width() * (s.channels / s.groups) * s.kernel.area();
}

}  // namespace

std::string op_name(const Op& op) {
  return std::visit(Overload{
                        [](const ConvForward&) { return "conv_forward"; },
                        [](const ConvBackwardData&) { return "conv_backward_data"; },
                        [](const ConvBackwardWeights&) { return "conv_backward_weights"; },
                        [](const PoolForward&) { return "pool_forward"; },
                        [](const PoolBackward&) { return "pool_backward"; },
                        [](const LrnForward&) { return "lrn_forward"; },
                        [](const LrnBackward&) { return "lrn_backward"; },
                        [](const ActivationForward&) { return "activation_forward"; },
                        [](const ActivationBackward&) { return "activation_backward"; },
                        [](const Dropout&) { return "dropout"; },
                        [](const FullyConnectedForward&) { return "fully_connected_forward"; },
                        [](const FullyConnectedBackwardData&) { return "fully_connected_backward_data"; },
                        [](const FullyConnectedBackwardWeights&) { return "fully_connected_backward_weights"; },
                        [](const FullyConnectedUpdate&) { return "fully_connected_update"; },
                        [](const ConcatForward&) { return "concat_forward"; },
                        [](const ConcatBackward&) { return "concat_backward"; },
                        [](const Add&) { return "add"; },
                        [](const SoftmaxCrossEntropy&) { return "softmax_cross_entropy"; },
                        [](const SoftmaxSums&) { return "softmax_sums"; },
                        [](const SoftmaxCrossEntropyPart&) { return "softmax_cross_entropy_part"; },
                        [](const LabelRank&) { return "label_rank"; },
                        [](const Softmax&) { return "softmax"; },
                        [](const BatchNormSums&) { return "batch_norm_sums"; },
                        [](const BatchNormStatistics&) { return "batch_norm_statistics"; },
                        [](const BatchNormForward&) { return "batch_norm_forward"; },
                        [](const BatchNormBackwardSums&) { return "batch_norm_backward_sums"; },
                        [](const BatchNormBackwardWeights&) { return "batch_norm_backward_weights"; },
                        [](const BatchNormBackwardData&) { return "batch_norm_backward_data"; },
                        [](const SumParts&) { return "sum_parts"; },
                        [](const AdagradScale&) { return "adagrad_scale"; },
                        [](const Update&) { return "update"; },
                        [](const SquaredNorms&) { return "squared_norms"; },
                        [](const ClipScale&) { return "clip_scale"; },
                        [](const Convert&) { return "convert"; },
                    },
                    op);
}

std::int64_t op_flops(const Op& op) {
  return std::visit(
      Overload{
          [](const ConvForward& o) { return conv_flops(o.shape, o.rows); },
          [](const ConvBackwardData& o) { return conv_flops(o.shape, o.rows); },
          [](const ConvBackwardWeights& o) { return conv_flops(o.shape, o.rows); },
          [](const FullyConnectedForward& o) { return 2 * o.rows.count * o.in * o.out; },
          [](const FullyConnectedBackwardData& o) { return 2 * o.rows.count * o.in * o.out; },
          [](const FullyConnectedBackwardWeights& o) { return 2 * o.rows.count * o.in * o.outputs; },
          [](const FullyConnectedUpdate& o) { return 2 * o.gradient.rows.count * o.gradient.in * o.gradient.outputs; },
          [](const auto&) { return std::int64_t{0}; },
      },
      op);
}

}  // namespace hadal
