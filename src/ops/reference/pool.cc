// Pooling: the maximum, or the mean, of the part of each window that lies inside the image.
//
// A window's maximum is its first largest element in row-major order, or its last NaN where it has one (as PyTorch).
// The workspace of max pooling holds, for each output element, where that is in its channel: row * width + column.

#include <algorithm>
#include <cmath>

#include "ops/reference/image.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

Image source_image(const PoolShape& s, Layout layout) { return {s.channels, s.height, s.width, layout}; }

Image destination_image(const PoolShape& s, Layout layout) { return {s.channels, s.out_height, s.out_width, layout}; }

// The part of a window inside the image. Never empty: the pad is less than the kernel, and windows begin in the padded
// image.
struct Window {
  std::int64_t top, bottom, left, right;  // bottom and right are past the end

  Window(const PoolShape& s, std::int64_t i, std::int64_t j)
      : top(std::max<std::int64_t>(i * s.stride.height - s.pad.height, 0)),
        bottom(std::min(i * s.stride.height - s.pad.height + s.kernel.height, s.height)),
        left(std::max<std::int64_t>(j * s.stride.width - s.pad.width, 0)),
        right(std::min(j * s.stride.width - s.pad.width + s.kernel.width, s.width)) {
    HADAL_CHECK(top < bottom && left < right);
  }

  std::int64_t elements() const { return (bottom - top) * (right - left); }
};

template <class Visit>
void for_each_output(const PoolShape& s, std::int64_t rows, const Visit& visit) {
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (std::int64_t i = 0; i < s.out_height; ++i) {
        for (std::int64_t j = 0; j < s.out_width; ++j) visit(n, c, i, j);
      }
    }
  }
}

template <class Visit>
void for_each_element(const Window& window, const Visit& visit) {
  for (std::int64_t row = window.top; row < window.bottom; ++row) {
    for (std::int64_t column = window.left; column < window.right; ++column) visit(row, column);
  }
}

template <class Real>
void max_forward(const PoolForward& op, const Call& call) {
  const PoolShape& s = op.shape;
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* source = call.read<Real>(0);
  Real* destination = call.written<Real>(1);
  std::int32_t* workspace = op.training ? call.written<std::int32_t>(2) : nullptr;

  for_each_output(s, op.rows.count, [&](std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
    const Window window(s, i, j);
    std::int64_t best_row = window.top, best_column = window.left;
    Real best = source[x.at(n, c, best_row, best_column)];
    for_each_element(window, [&](std::int64_t row, std::int64_t column) {
      const Real value = source[x.at(n, c, row, column)];
      if (value > best || std::isnan(value)) {
        best = value;
        best_row = row;
        best_column = column;
      }
    });
    destination[y.at(n, c, i, j)] = best;
    if (workspace != nullptr) {
      workspace[y.at(n, c, i, j)] = static_cast<std::int32_t>(best_row * s.width + best_column);
    }
  });
}

template <class Real>
void average_forward(const PoolForward& op, const Call& call) {
  const PoolShape& s = op.shape;
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* source = call.read<Real>(0);
  Real* destination = call.written<Real>(1);

  for_each_output(s, op.rows.count, [&](std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
    const Window window(s, i, j);
    double sum = 0;
    for_each_element(window, [&](std::int64_t row, std::int64_t column) { sum += source[x.at(n, c, row, column)]; });
    destination[y.at(n, c, i, j)] = static_cast<Real>(sum / static_cast<double>(window.elements()));
  });
}

}  // namespace

template <class Real>
void run(const PoolForward& op, const Call& call) {
  if (op.shape.kind == PoolKind::max) {
    max_forward<Real>(op, call);
  } else {
    average_forward<Real>(op, call);
  }
}

template <class Real>
void run(const PoolBackward& op, const Call& call) {
  const PoolShape& s = op.shape;
  const bool max = s.kind == PoolKind::max;
  const Image x = source_image(s, op.source), y = destination_image(s, op.destination);
  const Real* diff_destination = call.read<Real>(0);
  const std::int32_t* workspace = max ? call.read<std::int32_t>(1) : nullptr;
  Real* diff_source = call.written<Real>(max ? 2 : 1);

  std::fill_n(diff_source, op.rows.count * s.channels * s.height * s.width, Real{0});
  for_each_output(s, op.rows.count, [&](std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
    const Real diff = diff_destination[y.at(n, c, i, j)];
    if (max) {
      const std::int32_t place = workspace[y.at(n, c, i, j)];
      diff_source[x.at(n, c, place / s.width, place % s.width)] += diff;
    } else {
      const Window window(s, i, j);
      for_each_element(window, [&](std::int64_t row, std::int64_t column) {
        diff_source[x.at(n, c, row, column)] += diff / static_cast<Real>(window.elements());
      });
    }
  });
}

template void run<float>(const PoolForward&, const Call&);
template void run<double>(const PoolForward&, const Call&);
template void run<float>(const PoolBackward&, const Call&);
template void run<double>(const PoolBackward&, const Call&);

}  // namespace hadal::reference
