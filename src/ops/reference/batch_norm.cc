// Batch normalisation in the parts that the plan makes of it (nn/op.h). Sums are in double precision.

#include <cmath>

#include "ops/reference/image.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

// Calls visit(unit, channel, where) for each element.
template <class Visit>
void for_each(const BatchNormShape& s, const Rows& rows, Layout layout, const Visit& visit) {
  const Image image(s.channels, 1, s.pixels, layout);
  std::int64_t n = 0;
  for (std::int64_t unit = 0; unit < rows.unit_count(); ++unit) {
    for (const std::int64_t past = n + rows.unit(unit); n < past; ++n) {
      for (std::int64_t c = 0; c < s.channels; ++c) {
        for (std::int64_t pixel = 0; pixel < s.pixels; ++pixel) {
          visit(unit, c, image.at(n, c, 0, pixel));
        }
      }
    }
  }
}

template <class Real>
double normalised(const Real* source, const Real* mean, const Real* variance, const BatchNormShape& s, std::int64_t c,
                  std::int64_t at) {
  return (double{source[at]} - double{mean[c]}) / std::sqrt(double{variance[c]} + double{s.epsilon});
}

double total(const double* sums, const BatchNormShape& s, std::int64_t parts, std::int64_t index) {
  double sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) sum += sums[part * s.sums() + index];
  return sum;
}

}  // namespace

template <class Real>
void run(const BatchNormSums& op, const Call& call) {
  const BatchNormShape& s = op.shape;
  const Real* source = call.read<Real>(0);
  double* sums = call.written<double>(1);
  for (std::int64_t i = 0; i < op.rows.unit_count() * s.sums(); ++i) sums[i] = 0;
  for_each(s, op.rows, op.layout, [&](std::int64_t unit, std::int64_t c, std::int64_t at) {
    double* own = sums + unit * s.sums() + c;
    own[0] += double{source[at]};
    own[s.channels] += double{source[at]} * double{source[at]};
  });
}

template <class Real>
void run(const BatchNormStatistics& op, const Call& call) {
  const BatchNormShape& s = op.shape;
  const double* sums = call.read<double>(0);
  const auto count = static_cast<double>(op.rows * s.pixels);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const double mean = total(sums, s, op.parts, c) / count;
    const double squares = total(sums, s, op.parts, s.channels + c) / count - mean * mean;
    const double variance = squares < 0 ? 0 : squares;  // a NaN stays one
    if (!std::isfinite(static_cast<float>(variance))) throw NotFinite("the batch's variance is not finite");
    call.written<Real>(1)[c] = static_cast<Real>(mean);
    call.written<Real>(2)[c] = static_cast<Real>(variance);
    if (!op.running) continue;
    const auto move = [&](Real& running, double towards) {
      running = static_cast<Real>((1 - op.momentum) * double{running} + op.momentum * towards);
    };
    move(call.written<Real>(3)[c], mean);
    move(call.written<Real>(4)[c], count > 1 ? variance * count / (count - 1) : variance);
  }
}

template <class Real>
void run(const BatchNormForward& op, const Call& call) {
  const Real *source = call.read<Real>(0), *mean = call.read<Real>(1), *variance = call.read<Real>(2);
  const Real *weight = call.read<Real>(3), *bias = call.read<Real>(4);
  Real* destination = call.written<Real>(5);
  for_each(op.shape, op.rows, op.layout, [&](std::int64_t, std::int64_t c, std::int64_t at) {
    destination[at] =
        static_cast<Real>(double{weight[c]} * normalised(source, mean, variance, op.shape, c, at) + double{bias[c]});
  });
}

template <class Real>
void run(const BatchNormBackwardSums& op, const Call& call) {
  const BatchNormShape& s = op.shape;
  const Real *source = call.read<Real>(0), *diff_destination = call.read<Real>(1);
  const Real *mean = call.read<Real>(2), *variance = call.read<Real>(3);
  double* sums = call.written<double>(4);
  for (std::int64_t i = 0; i < op.rows.unit_count() * s.sums(); ++i) sums[i] = 0;
  for_each(s, op.rows, op.layout, [&](std::int64_t unit, std::int64_t c, std::int64_t at) {
    double* own = sums + unit * s.sums() + c;
    own[0] += double{diff_destination[at]} * normalised(source, mean, variance, s, c, at);
    own[s.channels] += double{diff_destination[at]};
  });
}

template <class Real>
void run(const BatchNormBackwardWeights& op, const Call& call) {
  const double* sums = call.read<double>(0);
  for (std::int64_t c = 0; c < op.shape.channels; ++c) {
    call.written<Real>(1)[c] = static_cast<Real>(total(sums, op.shape, op.parts, c));
    call.written<Real>(2)[c] = static_cast<Real>(total(sums, op.shape, op.parts, op.shape.channels + c));
  }
}

template <class Real>
void run(const BatchNormBackwardData& op, const Call& call) {
  const BatchNormShape& s = op.shape;
  const Real *source = call.read<Real>(0), *diff_destination = call.read<Real>(1);
  const Real *mean = call.read<Real>(2), *variance = call.read<Real>(3), *weight = call.read<Real>(4);
  const Real *diff_weight = call.read<Real>(5), *diff_bias = call.read<Real>(6);
  Real* diff_source = call.written<Real>(7);
  const auto count = static_cast<double>(op.batch_rows * s.pixels);
  for_each(s, op.rows, op.layout, [&](std::int64_t, std::int64_t c, std::int64_t at) {
    const double x = normalised(source, mean, variance, s, c, at);
    const double diff = double{diff_destination[at]} - (double{diff_bias[c]} + x * double{diff_weight[c]}) / count;
    diff_source[at] = static_cast<Real>(double{weight[c]} / std::sqrt(double{variance[c]} + double{s.epsilon}) * diff);
  });
}

template void run<float>(const BatchNormSums&, const Call&);
template void run<double>(const BatchNormSums&, const Call&);
template void run<float>(const BatchNormStatistics&, const Call&);
template void run<double>(const BatchNormStatistics&, const Call&);
template void run<float>(const BatchNormForward&, const Call&);
template void run<double>(const BatchNormForward&, const Call&);
template void run<float>(const BatchNormBackwardSums&, const Call&);
template void run<double>(const BatchNormBackwardSums&, const Call&);
template void run<float>(const BatchNormBackwardWeights&, const Call&);
template void run<double>(const BatchNormBackwardWeights&, const Call&);
template void run<float>(const BatchNormBackwardData&, const Call&);
template void run<double>(const BatchNormBackwardData&, const Call&);

}  // namespace hadal::reference
