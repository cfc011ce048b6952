// Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3):
//
//   y[c] = x[c] s[c]^-beta,   s[c] = k + alpha / size * the sum over c' in window(c) of x[c']^2
//   dx[c] = dy[c] s[c]^-beta - 2 alpha beta / size * x[c] * the sum over c' with c in window(c') of
//                                                             dy[c'] x[c'] s[c']^(-beta - 1)
//
// window(c): c - size/2 ... c + (size - 1)/2, as far as there are channels.

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/reference/image.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

namespace {

struct Channels {
  std::int64_t first, past;
};

Channels window(const LrnShape& s, std::int64_t c) {
  return {std::max<std::int64_t>(0, c - s.options.size / 2), std::min(s.channels, c + (s.options.size + 1) / 2)};
}

// The channels whose windows have `c` in them.
Channels windows_with(const LrnShape& s, std::int64_t c) {
  return {std::max<std::int64_t>(0, c - (s.options.size - 1) / 2), std::min(s.channels, c + s.options.size / 2 + 1)};
}

// Calls visit(at), where at(c) is the place of channel c, for each pixel of each sample.
template <class Visit>
void for_each_pixel(const LrnShape& s, std::int64_t rows, Layout layout, const Visit& visit) {
  const Image image(s.channels, 1, s.pixels, layout);
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t pixel = 0; pixel < s.pixels; ++pixel) {
      visit([&](std::int64_t c) { return image.at(n, c, 0, pixel); });
    }
  }
}

template <class Real, class At>
double scale(const LrnShape& s, const Real* source, const At& at, std::int64_t c) {
  double squares = 0;
  const Channels channels = window(s, c);
  for (std::int64_t other = channels.first; other < channels.past; ++other) {
    squares += double{source[at(other)]} * double{source[at(other)]};
  }
  return double{s.options.k} + double{s.options.alpha} / static_cast<double>(s.options.size) * squares;
}

}  // namespace

template <class Real>
void run(const LrnForward& op, const Call& call) {
  const Real* source = call.read<Real>(0);
  Real* destination = call.written<Real>(1);
  for_each_pixel(op.shape, op.rows.count, op.layout, [&](const auto& at) {
    for (std::int64_t c = 0; c < op.shape.channels; ++c) {
      const double s = scale(op.shape, source, at, c);
      destination[at(c)] = static_cast<Real>(double{source[at(c)]} * std::pow(s, -double{op.shape.options.beta}));
    }
  });
}

template <class Real>
void run(const LrnBackward& op, const Call& call) {
  const LrnShape& shape = op.shape;
  const double beta = shape.options.beta;
  const double factor = 2 * double{shape.options.alpha} * beta / static_cast<double>(shape.options.size);
  const Real* source = call.read<Real>(0);
  const Real* diff_destination = call.read<Real>(1);
  Real* diff_source = call.written<Real>(op.in_place ? 1 : 2);
  thread_local std::vector<Real> diffs;  // of a pixel: what is written may lie where they are
  diffs.resize(static_cast<std::size_t>(shape.channels));
  for_each_pixel(shape, op.rows.count, op.layout, [&](const auto& at) {
    for (std::int64_t c = 0; c < shape.channels; ++c) diffs[static_cast<std::size_t>(c)] = diff_destination[at(c)];
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      double others = 0;
      const Channels channels = windows_with(shape, c);
      for (std::int64_t other = channels.first; other < channels.past; ++other) {
        others += double{diffs[static_cast<std::size_t>(other)]} * double{source[at(other)]} *
                  std::pow(scale(shape, source, at, other), -beta - 1);
      }
      const double own = double{diffs[static_cast<std::size_t>(c)]} * std::pow(scale(shape, source, at, c), -beta);
      diff_source[at(c)] = static_cast<Real>(own - factor * double{source[at(c)]} * others);
    }
  });
}

template void run<float>(const LrnForward&, const Call&);
template void run<double>(const LrnForward&, const Call&);
template void run<float>(const LrnBackward&, const Call&);
template void run<double>(const LrnBackward&, const Call&);

}  // namespace hadal::reference
