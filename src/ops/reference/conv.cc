// Convolution in groups, over source x [N, C, H, W] with weight w [O, C/groups, P, Q] and bias b [O]:
//
//   y[n,o,i,j] = b[o] + sum over c, p, q of w[o,c,p,q] * x[n, C/groups * group(o) + c, i', j']
//   where i' = i * stride - pad + p * dilation, and j' of j and q alike,
//
// and what lies outside the image counts as zero.

#include "ops/reference/image.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

Image source_image(const ConvShape& s, Layout layout) { return {s.channels, s.height, s.width, layout}; }

Image destination_image(const ConvShape& s, Layout layout) { return {s.out, s.out_height(), s.out_width(), layout}; }

// What the loops below would divide again and again.
struct Group {
  std::int64_t channels, outputs;
  Extent kernel;

  explicit Group(const ConvShape& s) : channels(s.channels / s.groups), outputs(s.out / s.groups), kernel(s.kernel) {}

  std::int64_t weight_at(std::int64_t o, std::int64_t c, std::int64_t p, std::int64_t q) const {
    return ((o * channels + c) * kernel.height + p) * kernel.width + q;
  }
};

// The row and the column of the image that output i, j meets at p, q of the kernel; outside the image in the padding.
std::int64_t row_meeting(const ConvShape& s, std::int64_t i, std::int64_t p) {
  return i * s.stride.height - s.pad.height + p * s.dilation.height;
}
std::int64_t column_meeting(const ConvShape& s, std::int64_t j, std::int64_t q) {
  return j * s.stride.width - s.pad.width + q * s.dilation.width;
}

// The output row (or column) of `outputs` that begins `offset` into the padded image; -1: none.
std::int64_t output_at(std::int64_t offset, std::int64_t stride, std::int64_t outputs) {
  const std::int64_t output = offset / stride;
  return offset >= 0 && output * stride == offset && output < outputs ? output : -1;
}

// Those of each group, which are alike; none where a unit has whole groups.
OutputUnits units_of_a_group(const OutputUnits& units, std::int64_t groups) {
  const auto count = static_cast<std::int64_t>(units.size()) / groups;
  return {units.begin(), units.begin() + count};
}

}  // namespace

template <class Real>
void run(const ConvForward& op, const Call& call) {
  const ConvShape& s = op.shape;
  const Group group(s);
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* source = call.read<Real>(0);
  const Real* weight = call.read<Real>(1);
  const Real* bias = call.read<Real>(2);
  Real* destination = call.written<Real>(3);

  const auto convolve = [&](std::int64_t n, std::int64_t o, std::int64_t i, std::int64_t j) {
    const std::int64_t first = o / group.outputs * group.channels;
    double sum = bias[o];
    for (std::int64_t c = 0; c < group.channels; ++c) {
      for (std::int64_t p = 0; p < s.kernel.height; ++p) {
        for (std::int64_t q = 0; q < s.kernel.width; ++q) {
          const std::int64_t row = row_meeting(s, i, p), column = column_meeting(s, j, q);
          if (!x.contains(row, column)) continue;
          sum += double{weight[group.weight_at(o, c, p, q)]} * source[x.at(n, first + c, row, column)];
        }
      }
    }
    return static_cast<Real>(sum);
  };

  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      for (std::int64_t i = 0; i < y.height; ++i) {
        for (std::int64_t j = 0; j < y.width; ++j) destination[y.at(n, o, i, j)] = convolve(n, o, i, j);
      }
    }
  }
}

template <class Real>
void run(const ConvBackwardData& op, const Call& call) {
  const ConvShape& s = op.shape;
  const Group group(s);
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* diff_destination = call.read<Real>(0);
  const Real* weight = call.read<Real>(1);
  Real* diff_source = call.written<Real>(2);

  const OutputUnits units = units_of_a_group(op.output_units, s.groups);
  const auto diff = [&](std::int64_t n, std::int64_t channel, std::int64_t row, std::int64_t column) {
    const std::int64_t c = channel % group.channels;
    const std::int64_t first = channel / group.channels * group.outputs;
    const auto by_output = [&](std::int64_t output) {
      double sum = 0;
      for (std::int64_t p = 0; p < s.kernel.height; ++p) {
        const std::int64_t i = output_at(row + s.pad.height - p * s.dilation.height, s.stride.height, y.height);
        if (i < 0) continue;
        for (std::int64_t q = 0; q < s.kernel.width; ++q) {
          const std::int64_t j = output_at(column + s.pad.width - q * s.dilation.width, s.stride.width, y.width);
          if (j < 0) continue;
          const std::int64_t o = first + output;
          sum += double{weight[group.weight_at(o, c, p, q)]} * diff_destination[y.at(n, o, i, j)];
        }
      }
      return sum;
    };
    return sum_over_outputs<Real>(units, group.outputs, by_output);
  };

  for (std::int64_t n = 0; n < op.rows.count; ++n) {
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (std::int64_t i = 0; i < x.height; ++i) {
        for (std::int64_t j = 0; j < x.width; ++j) diff_source[x.at(n, c, i, j)] = diff(n, c, i, j);
      }
    }
  }
}

template <class Real>
void run(const ConvBackwardWeights& op, const Call& call) {
  const ConvShape& s = op.shape;
  const Group group(s);
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* source = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* diff_weight = call.written<Real>(2);
  Real* diff_bias = call.written<Real>(3);

  // Sums term(n, i, j) over the samples and the pixels of the destination.
  const auto sum_over_pixels = [&](const auto& term) {
    double sum = 0;
    for (std::int64_t n = 0; n < op.rows.count; ++n) {
      for (std::int64_t i = 0; i < y.height; ++i) {
        for (std::int64_t j = 0; j < y.width; ++j) sum += term(n, i, j);
      }
    }
    return static_cast<Real>(sum);
  };

  for (std::int64_t o = 0; o < s.out; ++o) {
    diff_bias[o] = sum_over_pixels(
        [&](std::int64_t n, std::int64_t i, std::int64_t j) { return double{diff_destination[y.at(n, o, i, j)]}; });
    const std::int64_t first = o / group.outputs * group.channels;
    for (std::int64_t c = 0; c < group.channels; ++c) {
      for (std::int64_t p = 0; p < s.kernel.height; ++p) {
        for (std::int64_t q = 0; q < s.kernel.width; ++q) {
          diff_weight[group.weight_at(o, c, p, q)] =
              sum_over_pixels([&](std::int64_t n, std::int64_t i, std::int64_t j) {
                const std::int64_t row = row_meeting(s, i, p), column = column_meeting(s, j, q);
                if (!x.contains(row, column)) return 0.0;
                return double{diff_destination[y.at(n, o, i, j)]} * source[x.at(n, first + c, row, column)];
              });
        }
      }
    }
  }
}

template void run<float>(const ConvForward&, const Call&);
template void run<double>(const ConvForward&, const Call&);
template void run<float>(const ConvBackwardData&, const Call&);
template void run<double>(const ConvBackwardData&, const Call&);
template void run<float>(const ConvBackwardWeights&, const Call&);
template void run<double>(const ConvBackwardWeights&, const Call&);

}  // namespace hadal::reference
