// Fully connected: y[n,o] = b[o] + sum over i of w[o,i] x[n,i].

#include "ops/reference/loops.h"
#include "ops/reference/update_step.h"
#include "tensor/bf16.h"

namespace hadal::reference {

template <class Real>
void run(const FullyConnectedForward& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  const Real* weight = call.read<Real>(1);
  const Real* bias = call.read<Real>(2);
  Real* destination = call.written<Real>(3);
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    for (std::int64_t o = 0; o < op.out; ++o) {
      double sum = bias[o];
      for (std::int64_t i = 0; i < op.in; ++i) sum += double{weight[o * op.in + i]} * source[n * op.in + i];
      destination[n * op.out + o] = static_cast<Real>(sum);
    }
  }
}

template <class Real>
void run(const FullyConnectedBackwardData& op, const Call& call) {
  const Real* diff_destination = call.read<Real>(0);
  const Real* weight = call.read<Real>(1);
  Real* diff_source = call.written<Real>(2);
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    for (std::int64_t i = 0; i < op.in; ++i) {
      diff_source[n * op.in + i] = sum_over_outputs<Real>(op.output_units, op.out, [&](std::int64_t o) {
        return double{weight[o * op.in + i]} * diff_destination[n * op.out + o];
      });
    }
  }
}

template <class Real>
Real bias_gradient(const FullyConnectedBackwardWeights& op, const Real* diff_destination, std::int64_t o) {
  double sum = 0;
  for (std::int64_t n = 0; n < op.rows.count; ++n) sum += diff_destination[n * op.out + o];
  return static_cast<Real>(sum);
}

template <class Real>
Real weight_gradient(const FullyConnectedBackwardWeights& op, const Real* source, const Real* diff_destination,
                     std::int64_t o, std::int64_t i) {
  double sum = 0;
  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    sum += double{diff_destination[n * op.out + o]} * source[n * op.in + i];
  }
  return static_cast<Real>(sum);
}

template <class Real>
void run(const FullyConnectedBackwardWeights& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* diff_weight = call.written<Real>(2);
  Real* diff_bias = call.written<Real>(3);
  for (std::int64_t output = 0; output < op.outputs; ++output) {
    const std::int64_t o = op.first_output + output;
    diff_bias[output] = bias_gradient(op, diff_destination, o);
    for (std::int64_t i = 0; i < op.in; ++i) {
      diff_weight[output * op.in + i] = weight_gradient(op, source, diff_destination, o, i);
    }
  }
}

template <class Real>
void run(const FullyConnectedUpdate& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* weight = call.written<Real>(2);
  Real* bias = call.written<Real>(3);
  std::array<Real*, 2> weight_states{}, bias_states{};
  std::size_t next = 4;
  for (std::size_t s = 0; s < op.rule.state_count(); ++s) {
    weight_states[s] = call.written<Real>(next++);
    bias_states[s] = call.written<Real>(next++);
  }
  Bf16* copy = op.copies ? call.written<Bf16>(next) : nullptr;
  const UpdateStep<Real> update_weight(op.rule, call.values.rate, call.values.step);
  const UpdateStep<Real> update_bias(op.bias_rule, call.values.rate, call.values.step);
  const auto at = [](const std::array<Real*, 2>& states, std::int64_t i) {
    return std::array<Real*, 2>{states[0] == nullptr ? nullptr : states[0] + i,
                                states[1] == nullptr ? nullptr : states[1] + i};
  };
  const std::int64_t in = op.gradient.in;
  for (std::int64_t output = 0; output < op.gradient.outputs; ++output) {
    const std::int64_t o = op.gradient.first_output + output;
    update_bias(bias_gradient(op.gradient, diff_destination, o), bias[output], at(bias_states, output));
    for (std::int64_t i = 0; i < in; ++i) {
      update_weight(weight_gradient(op.gradient, source, diff_destination, o, i), weight[output * in + i],
                    at(weight_states, output * in + i));
      if (copy != nullptr) copy[output * in + i] = Bf16(static_cast<float>(weight[output * in + i]));
    }
  }
}

template void run<float>(const FullyConnectedForward&, const Call&);
template void run<double>(const FullyConnectedForward&, const Call&);
template void run<float>(const FullyConnectedBackwardData&, const Call&);
template void run<double>(const FullyConnectedBackwardData&, const Call&);
template void run<float>(const FullyConnectedBackwardWeights&, const Call&);
template void run<double>(const FullyConnectedBackwardWeights&, const Call&);
template void run<float>(const FullyConnectedUpdate&, const Call&);
template void run<double>(const FullyConnectedUpdate&, const Call&);

}  // namespace hadal::reference
