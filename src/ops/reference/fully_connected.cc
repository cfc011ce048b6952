// Fully connected: y[n,o] = b[o] + sum over i of w[o,i] x[n,i].

#include "ops/reference/loops.h"

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
      double sum = 0;
      for (std::int64_t o = 0; o < op.out; ++o) {
        sum += double{weight[o * op.in + i]} * diff_destination[n * op.out + o];
      }
      diff_source[n * op.in + i] = static_cast<Real>(sum);
    }
  }
}

template <class Real>
void run(const FullyConnectedBackwardWeights& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* diff_weight = call.written<Real>(2);
  Real* diff_bias = call.written<Real>(3);
  for (std::int64_t output = 0; output < op.outputs; ++output) {
    const std::int64_t o = op.first_output + output;
    double bias_sum = 0;
    for (std::int64_t n = 0; n < op.rows.count; ++n) bias_sum += diff_destination[n * op.out + o];
    diff_bias[output] = static_cast<Real>(bias_sum);
    for (std::int64_t i = 0; i < op.in; ++i) {
      double sum = 0;
      for (std::int64_t n = 0; n < op.rows.count; ++n) {
        sum += double{diff_destination[n * op.out + o]} * source[n * op.in + i];
      }
      diff_weight[output * op.in + i] = static_cast<Real>(sum);
    }
  }
}

template void run<float>(const FullyConnectedForward&, const Call&);
template void run<double>(const FullyConnectedForward&, const Call&);
template void run<float>(const FullyConnectedBackwardData&, const Call&);
template void run<double>(const FullyConnectedBackwardData&, const Call&);
template void run<float>(const FullyConnectedBackwardWeights&, const Call&);
template void run<double>(const FullyConnectedBackwardWeights&, const Call&);

}  // namespace hadal::reference
