#pragma once
// Changes of recordings at random: speed, pitch, loudness and noise.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "speech/feature_options.h"

namespace hadal {

// What decides the changes, and all that does.
struct AugmentKey {
  std::uint64_t seed = 0;
  std::uint32_t copy = 1;  // or an epoch
  std::string utterance;
};

struct AugmentDraw {
  double speed = 1, pitch = 1, gain_db = 0;
  double noise_db = 0;  // of the signal above the noise
  bool noisy = false;
};

// Throws ConfigError where a range is not one.
void check(const AugmentOptions& options);

AugmentDraw draw_augmentation(const AugmentOptions& options, const AugmentKey& key);

// Samples are at `rate`. Speed, then pitch, then noise, then gain; what becomes louder than 16 bits is cut off.
std::vector<float> augment(std::span<const float> samples, double rate, const AugmentOptions& options,
                           const AugmentKey& key);

// The sound `factor` times as long, at the same pitch: windows that overlap are moved where they fit best (Verhelst and
// Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993).
std::vector<float> stretch(std::span<const float> samples, double rate, double factor);

}  // namespace hadal
