#include "speech/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/random.h"
#include "base/sha256.h"
#include "speech/audio_file.h"

namespace hadal {

namespace {

// A sequence of the utterance's own, in this copy.
RandomSequence sequence_of(const AugmentKey& key) {
  const std::string digest = sha256(std::as_bytes(std::span(key.utterance)));
  const auto part = [&](std::size_t from) {
    return static_cast<std::uint32_t>(std::stoul(digest.substr(from, 8), nullptr, 16));
  };
  const PhiloxCounter own = RandomSequence(key.seed, RandomUse::augment, key.copy).bits(part(0), part(8), 0x5eec4);
  return {std::uint64_t{own[1]} << 32 | own[0], RandomUse::augment, key.copy};
}

void check_range(const char* name, double low, double high, double least, double most) {
  if (low >= least && high <= most && low <= high) return;
  throw ConfigError(
      fmt::format("augment.{}: [{}, {}] is not a range, low then high, from {} to {}", name, low, high, least, most));
}

double mean_square(std::span<const float> samples) {
  double sum = 0;
  for (const float sample : samples) sum += static_cast<double>(sample) * static_cast<double>(sample);
  return samples.empty() ? 0 : sum / static_cast<double>(samples.size());
}

// Joins windows of one sound into another of different length.
class Stretching {
 public:
  Stretching(std::span<const float> samples, double rate, double factor)
      : samples_(samples),
        hop_(std::max<std::int64_t>(8, std::llround(0.015 * rate))),
        reach_(std::max<std::int64_t>(4, std::llround(0.008 * rate))),
        factor_(factor),
        result_(static_cast<std::size_t>(std::llround(static_cast<double>(samples.size()) * factor))),
        weight_(result_.size()) {
    for (std::int64_t i = 0; i < 2 * hop_; ++i) {
      const double phase = std::numbers::pi * (static_cast<double>(i) + 0.5) / static_cast<double>(hop_);
      window_.push_back(static_cast<float>(0.5 - 0.5 * std::cos(phase)));
    }
  }

  std::vector<float> run() {
    std::int64_t place = 0;  // of the window, in the samples
    for (std::int64_t to = 0; to < static_cast<std::int64_t>(result_.size()); to += hop_) {
      if (to > 0) place = best_place(std::llround(static_cast<double>(to) / factor_), place + hop_);
      add(place, to);
    }
    for (std::size_t i = 0; i < result_.size(); ++i) result_[i] /= std::max(weight_[i], 1e-3f);
    return std::move(result_);
  }

 private:
  float sample(std::int64_t at) const {
    return at >= 0 && at < static_cast<std::int64_t>(samples_.size()) ? samples_[static_cast<std::size_t>(at)] : 0;
  }

  // Near `wanted`, where the sound is the most like what would have come next.
  std::int64_t best_place(std::int64_t wanted, std::int64_t next) const {
    std::int64_t best = wanted;
    double best_fit = -std::numeric_limits<double>::infinity();
    for (std::int64_t place = wanted - reach_; place <= wanted + reach_; ++place) {
      double product = 0, energy = 1;
      for (std::int64_t i = 0; i < hop_; i += 2) {
        const auto here = static_cast<double>(sample(place + i));
        product += here * static_cast<double>(sample(next + i));
        energy += here * here;
      }
      const double fit = product / std::sqrt(energy);
      if (fit > best_fit) best_fit = fit, best = place;
    }
    return best;
  }

  void add(std::int64_t place, std::int64_t to) {
    for (std::size_t i = 0; i < window_.size(); ++i) {
      const std::size_t at = static_cast<std::size_t>(to) + i;
      if (at >= result_.size()) return;
      // The first window has nothing before it.
      const float weight = to == 0 && i < window_.size() / 2 ? 1 : window_[i];
      result_[at] += weight * sample(place + static_cast<std::int64_t>(i));
      weight_[at] += weight;
    }
  }

  std::span<const float> samples_;
  std::int64_t hop_, reach_;
  double factor_;
  std::vector<float> window_, result_, weight_;
};

}  // namespace

void check(const AugmentOptions& options) {
  if (options.copies < 0 || options.copies > 100) {
    throw ConfigError(fmt::format("augment.copies: {} is not from 0 to 100", options.copies));
  }
  check_range("speed", options.speed_low, options.speed_high, 0.25, 4);
  check_range("pitch", options.pitch_low, options.pitch_high, 0.25, 4);
  check_range("gain_db", options.gain_db_low, options.gain_db_high, -60, 60);
  check_range("noise_db", options.noise_db_low, options.noise_db_high, -20, 120);
}

AugmentDraw draw_augmentation(const AugmentOptions& options, const AugmentKey& key) {
  const RandomSequence random = sequence_of(key);
  const auto between = [&](std::uint64_t i, double low, double high) {
    return low + (high - low) * static_cast<double>(random.uniform(i));
  };
  AugmentDraw draw;
  draw.speed = between(0, options.speed_low, options.speed_high);
  draw.pitch = between(1, options.pitch_low, options.pitch_high);
  draw.gain_db = between(2, options.gain_db_low, options.gain_db_high);
  draw.noise_db = between(3, options.noise_db_low, options.noise_db_high);
  draw.noisy = options.noise_db_low != 0 || options.noise_db_high != 0;
  return draw;
}

std::vector<float> stretch(std::span<const float> samples, double rate, double factor) {
  if (factor == 1 || samples.empty()) return {samples.begin(), samples.end()};
  return Stretching(samples, rate, factor).run();
}

std::vector<float> augment(std::span<const float> samples, double rate, const AugmentOptions& options,
                           const AugmentKey& key) {
  const AugmentDraw draw = draw_augmentation(options, key);
  std::vector<float> result(samples.begin(), samples.end());
  if (draw.speed != 1) result = resample(result, 1 / draw.speed);
  if (draw.pitch != 1) {
    const std::size_t size = result.size();
    result = stretch(resample(result, 1 / draw.pitch), rate, draw.pitch);
    result.resize(size);
  }
  const double gain = std::pow(10, draw.gain_db / 20);
  const double noise = draw.noisy ? std::sqrt(mean_square(result) / std::pow(10, draw.noise_db / 10)) : 0;
  const RandomSequence random = sequence_of(key);
  constexpr std::uint64_t kFirst = 16;  // the numbers before are those of the draw
  for (std::size_t i = 0; i < result.size(); ++i) {
    double sample = static_cast<double>(result[i]);
    if (noise > 0) sample += noise * static_cast<double>(random.normal(kFirst + i));
    result[i] = static_cast<float>(std::clamp(gain * sample, -32768.0, 32767.0));
  }
  return result;
}

}  // namespace hadal
