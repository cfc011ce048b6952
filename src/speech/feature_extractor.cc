#include "speech/feature_extractor.h"

#include <fmt/format.h>
#include <kissfft/kiss_fftr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <type_traits>

#include "base/error.h"

namespace hadal {

namespace {

constexpr float kLeast = std::numeric_limits<float>::epsilon();  // energies are at least so large

double mel_of(double hz) { return 1127.0 * std::log(1.0 + hz / 700.0); }

struct FreeTransform {
  void operator()(kiss_fftr_cfg transform) const { kiss_fftr_free(transform); }
};

[[noreturn]] void bad_feature_option(const char* key, const std::string& what) {
  throw ConfigError(std::string("features.") + key + ": " + what);
}

template <class Number>
void check_feature_limit(const char* key, Number value, std::type_identity_t<Number> least,
                         std::type_identity_t<Number> most) {
  if (value >= least && value <= most) return;
  bad_feature_option(key, fmt::format("{} is not from {} to {}", value, least, most));
}

void check_feature_options(const FeatureOptions& options) {
  if (options.kind == FeatureKind::given) bad_feature_option("kind", "'given' makes no features out of audio");
  constexpr FeatureLimits kMost = kFeatureLimits;
  check_feature_limit("sample_rate", options.sample_rate, kMost.least_rate, kMost.most_rate);
  const double shift = options.sample_rate * 0.001 * options.frame_shift_ms;
  const double length = options.sample_rate * 0.001 * options.frame_length_ms;
  if (!(shift >= 1 && shift <= 1e6)) {
    bad_feature_option("frame_shift_ms",
                       fmt::format("{} ms is less than a sample, or too much", options.frame_shift_ms));
  }
  if (!(length >= 2 && length <= 1e6)) {
    bad_feature_option("frame_length_ms",
                       fmt::format("{} ms is less than two samples, or too much", options.frame_length_ms));
  }
  check_feature_limit("preemphasis", options.preemphasis, 0, 1);
  check_feature_limit("mel_bins", options.mel_bins, kMost.least_bins, kMost.most_bins);
  if (options.kind == FeatureKind::mfcc && (options.cepstra < 1 || options.cepstra > options.mel_bins)) {
    bad_feature_option("cepstra",
                       fmt::format("{} is not from 1 to mel_bins, which is {}", options.cepstra, options.mel_bins));
  }
  check_feature_limit("energy_floor", options.energy_floor, 0, kMost.most_energy);
  check_feature_limit("lifter", options.lifter, 0, kMost.most_lifter);
}

}  // namespace

FeatureExtractor::FeatureExtractor(const FeatureOptions& options) : options_(options) {
  check_feature_options(options);
  shift_ = static_cast<std::int64_t>(options.sample_rate * 0.001 * options.frame_shift_ms);
  length_ = static_cast<std::int64_t>(options.sample_rate * 0.001 * options.frame_length_ms);
  padded_ = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length_)));
  window_.resize(static_cast<std::size_t>(length_));
  const double step = 2 * std::numbers::pi / static_cast<double>(length_ - 1);
  for (std::size_t i = 0; i < window_.size(); ++i) {  // Povey's: like Hamming's, but 0 at the ends
    window_[i] = static_cast<float>(std::pow(0.5 - 0.5 * std::cos(step * static_cast<double>(i)), 0.85));
  }
  make_filters();
  if (options.kind == FeatureKind::mfcc) make_cosines();
}

// Triangles that are equally wide in mel.
void FeatureExtractor::make_filters() {
  const double nyquist = 0.5 * options_.sample_rate;
  const double low = options_.low_hz, high = options_.high_hz > 0 ? options_.high_hz : nyquist + options_.high_hz;
  if (!(low >= 0 && low < nyquist)) {
    bad_feature_option("low_hz", fmt::format("{} is not from 0 to half the sample rate, {}", low, nyquist));
  }
  if (!(high > low && high <= nyquist)) {
    bad_feature_option("high_hz",
                       fmt::format("{} Hz does not lie above low_hz, {}, and at most at half the sample rate, {}", high,
                                   low, nyquist));
  }
  const double bin_width = options_.sample_rate / static_cast<double>(padded_);
  const double mel_low = mel_of(low);
  const double delta = (mel_of(high) - mel_low) / static_cast<double>(options_.mel_bins + 1);
  for (std::int64_t bin = 0; bin < options_.mel_bins; ++bin) {
    const double left = mel_low + static_cast<double>(bin) * delta, center = left + delta, right = center + delta;
    MelFilter filter;
    for (std::int64_t i = 0; i < padded_ / 2; ++i) {
      const double mel = mel_of(bin_width * static_cast<double>(i));
      if (mel <= left || mel >= right) continue;
      if (filter.weights.empty()) filter.first = i;
      filter.weights.push_back(static_cast<float>(mel <= center ? (mel - left) / delta : (right - mel) / delta));
    }
    if (filter.weights.empty()) {
      bad_feature_option("mel_bins",
                         fmt::format("{} filters are so many that number {} hears no frequency of a frame of {} "
                                     "samples; choose fewer, or longer frames",
                                     options_.mel_bins, bin + 1, length_));
    }
    filters_.push_back(std::move(filter));
  }
}

void FeatureExtractor::make_cosines() {
  const auto bins = static_cast<double>(options_.mel_bins);
  for (std::int64_t k = 0; k < options_.cepstra; ++k) {
    const auto order = static_cast<double>(k);
    const double scale = std::sqrt((k == 0 ? 1 : 2) / bins);
    const double lift =
        options_.lifter == 0 ? 1 : 1 + 0.5 * options_.lifter * std::sin(std::numbers::pi * order / options_.lifter);
    for (std::int64_t j = 0; j < options_.mel_bins; ++j) {
      const double angle = std::numbers::pi / bins * (static_cast<double>(j) + 0.5) * order;
      cosines_.push_back(static_cast<float>(lift * scale * std::cos(angle)));
    }
  }
}

std::int64_t FeatureExtractor::dim() const {
  if (options_.kind == FeatureKind::mfcc) return options_.cepstra;
  return options_.mel_bins + (options_.use_energy ? 1 : 0);
}

std::int64_t FeatureExtractor::frames(std::int64_t samples) const {
  if (!options_.snip_edges) return (samples + shift_ / 2) / shift_;
  return samples < length_ ? 0 : 1 + (samples - length_) / shift_;
}

// Fills the front of `window` with the frame, as the transform wants it; gives the logarithm of its energy before.
float FeatureExtractor::cut_frame(std::span<const float> samples, std::int64_t frame, std::span<float> window) const {
  const auto size = static_cast<std::int64_t>(samples.size());
  const std::int64_t begin = options_.snip_edges ? frame * shift_ : frame * shift_ + shift_ / 2 - length_ / 2;
  double sum = 0;
  for (std::int64_t i = 0; i < length_; ++i) {
    std::int64_t at = begin + i;
    while (at < 0 || at >= size) at = at < 0 ? -at - 1 : 2 * size - 1 - at;  // mirrored at the ends
    window[static_cast<std::size_t>(i)] = samples[static_cast<std::size_t>(at)];
    sum += static_cast<double>(samples[static_cast<std::size_t>(at)]);
  }
  const auto count = static_cast<std::size_t>(length_);
  const auto mean = static_cast<float>(sum / static_cast<double>(length_));
  double energy = 0;
  for (std::size_t i = 0; i < count; ++i) {
    window[i] -= mean;
    energy += static_cast<double>(window[i]) * static_cast<double>(window[i]);
  }
  const auto emphasis = static_cast<float>(options_.preemphasis);
  for (std::size_t i = count - 1; i > 0; --i) window[i] -= emphasis * window[i - 1];
  window[0] -= emphasis * window[0];
  for (std::size_t i = 0; i < count; ++i) window[i] *= window_[i];
  return static_cast<float>(std::log(std::max({energy, options_.energy_floor, static_cast<double>(kLeast)})));
}

// Logarithms of what each filter hears.
void FeatureExtractor::filter(std::span<const float> power, std::span<float> energies) const {
  for (std::size_t f = 0; f < filters_.size(); ++f) {
    const std::vector<float>& weights = filters_[f].weights;
    const auto first = static_cast<std::size_t>(filters_[f].first);
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      sum += static_cast<double>(weights[i]) * static_cast<double>(power[first + i]);
    }
    energies[f] = static_cast<float>(std::log(std::max(sum, static_cast<double>(kLeast))));
  }
}

void FeatureExtractor::finish_row(std::span<const float> energies, float log_energy, std::span<float> row) const {
  if (options_.kind == FeatureKind::fbank) {
    std::copy(energies.begin(), energies.end(), row.begin() + (options_.use_energy ? 1 : 0));
  } else {
    for (std::size_t k = 0; k < row.size(); ++k) {
      double sum = 0;
      for (std::size_t j = 0; j < energies.size(); ++j) {
        sum += static_cast<double>(cosines_[k * energies.size() + j]) * static_cast<double>(energies[j]);
      }
      row[k] = static_cast<float>(sum);
    }
  }
  if (options_.use_energy) row[0] = log_energy;
}

FeatureMatrix FeatureExtractor::compute(std::span<const float> samples) const {
  FeatureMatrix features(frames(static_cast<std::int64_t>(samples.size())), dim());
  const std::unique_ptr<kiss_fftr_state, FreeTransform> transform(
      kiss_fftr_alloc(static_cast<int>(padded_), 0, nullptr, nullptr));
  if (transform == nullptr) throw std::bad_alloc();
  std::vector<float> window(static_cast<std::size_t>(padded_)), power(window.size() / 2), energies(filters_.size());
  std::vector<kiss_fft_cpx> spectrum(window.size() / 2 + 1);
  for (std::int64_t frame = 0; frame < features.frames; ++frame) {
    const float log_energy = cut_frame(samples, frame, window);
    kiss_fftr(transform.get(), window.data(), spectrum.data());
    for (std::size_t i = 0; i < power.size(); ++i) {
      power[i] = spectrum[i].r * spectrum[i].r + spectrum[i].i * spectrum[i].i;
    }
    filter(power, energies);
    finish_row(energies, log_energy, features.row(frame));
  }
  return features;
}

}  // namespace hadal
