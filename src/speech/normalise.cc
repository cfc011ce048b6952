#include "speech/normalise.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace hadal {

namespace {

// The weights of frames around one, for each order: a regression of the one before.
std::vector<std::vector<double>> delta_weights(int orders, std::int64_t window) {
  std::vector<std::vector<double>> weights{{1.0}};
  double normaliser = 0;
  for (std::int64_t j = -window; j <= window; ++j) normaliser += static_cast<double>(j * j);
  for (int order = 1; order <= orders; ++order) {
    const std::vector<double>& before = weights.back();
    std::vector<double> now(before.size() + 2 * static_cast<std::size_t>(window));
    for (std::int64_t j = -window; j <= window; ++j) {
      for (std::size_t k = 0; k < before.size(); ++k) {
        now[k + static_cast<std::size_t>(j + window)] += static_cast<double>(j) * before[k] / normaliser;
      }
    }
    weights.push_back(std::move(now));
  }
  return weights;
}

}  // namespace

FeatureMatrix add_deltas(const FeatureMatrix& features, int orders, std::int64_t window) {
  HADAL_CHECK(orders >= 0 && window >= 1);
  const auto weights = delta_weights(orders, window);
  FeatureMatrix result(features.frames, features.dim * (orders + 1));
  std::vector<double> sums(static_cast<std::size_t>(features.dim));
  for (std::int64_t frame = 0; frame < features.frames; ++frame) {
    float* to = result.row(frame).data();
    for (const std::vector<double>& of_order : weights) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const auto reach = static_cast<std::int64_t>(of_order.size() / 2);
      for (std::int64_t j = -reach; j <= reach; ++j) {
        const double weight = of_order[static_cast<std::size_t>(j + reach)];
        const auto row = features.row(std::clamp<std::int64_t>(frame + j, 0, features.frames - 1));
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += weight * static_cast<double>(row[i]);
      }
      to = std::transform(sums.begin(), sums.end(), to, [](double sum) { return static_cast<float>(sum); });
    }
  }
  return result;
}

void FrameStatistics::add(const FeatureMatrix& features) {
  if (features.frames == 0) return;
  if (frames_ == 0) {
    const auto first = features.row(0);
    shift_.assign(first.begin(), first.end());
    sum_.assign(shift_.size(), 0);
    square_.assign(shift_.size(), 0);
  }
  HADAL_CHECK(static_cast<std::size_t>(features.dim) == shift_.size());
  for (std::int64_t frame = 0; frame < features.frames; ++frame) {
    const auto row = features.row(frame);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double x = static_cast<double>(row[i]) - shift_[i];
      sum_[i] += x;
      square_[i] += x * x;
    }
  }
  frames_ += features.frames;
}

void FrameStatistics::apply(FeatureMatrix& features, bool mean, bool variance) const {
  if (frames_ == 0 || !(mean || variance)) return;
  HADAL_CHECK(static_cast<std::size_t>(features.dim) == shift_.size());
  constexpr double kLeastVariance = 1e-6;  // what rounding alone makes is less
  std::vector<double> centre(shift_.size()), scale(shift_.size(), 1.0), offset(shift_.size());
  for (std::size_t i = 0; i < shift_.size(); ++i) {
    const double average = sum_[i] / static_cast<double>(frames_);
    const double spread = square_[i] / static_cast<double>(frames_) - average * average;
    centre[i] = shift_[i] + average;
    if (variance && spread > kLeastVariance) scale[i] = 1 / std::sqrt(spread);
    offset[i] = mean ? 0 : centre[i] * scale[i];  // the mean stays, in the new scale
  }
  for (std::int64_t frame = 0; frame < features.frames; ++frame) {
    const auto row = features.row(frame);
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = static_cast<float>((static_cast<double>(row[i]) - centre[i]) * scale[i] + offset[i]);
    }
  }
}

FeatureMatrix finish_utterance(const FeatureMatrix& features, const FeatureOptions& options) {
  FeatureMatrix result = options.deltas > 0 ? add_deltas(features, options.deltas, options.delta_window) : features;
  FrameStatistics statistics;
  statistics.add(result);
  statistics.apply(result, options.mean != Normalise::none, options.variance != Normalise::none);
  return result;
}

}  // namespace hadal
