#pragma once
// How features are made of samples: the section `features` of a recipe.

#include <cstdint>

namespace hadal {

enum class FeatureKind {
  fbank,  // logarithms of the energies of mel filters
  mfcc,   // their cosine transform
  given,  // the data folder has features (feats.scp), and what makes them out of audio does not apply
};
enum class Normalise { none, utterance, speaker };

// What options may be, both inclusive: a recipe is read with these limits, and so is what makes the features.
struct FeatureLimits {
  double least_rate = 1000, most_rate = 384'000;    // Hz; libsamplerate's
  std::int64_t least_bins = 4, most_bins = 512;     // mel filters
  std::int64_t most_cepstra = 512;                  // and no more than mel filters
  double most_lifter = 1000, most_energy = 1e12;    // of lifter and energy_floor
  int most_deltas = 3;                              // orders
  std::int64_t least_window = 1, most_window = 10;  // delta_window
};
inline constexpr FeatureLimits kFeatureLimits;

// Kaldi's names and defaults where it has them (feat/feature-window.h, mel-computations.h, feature-mfcc.h), but that
// nothing is dithered.
struct FeatureOptions {
  FeatureKind kind = FeatureKind::mfcc;
  double sample_rate = 16000;  // audio of other rates is resampled
  double frame_length_ms = 25, frame_shift_ms = 10;
  double preemphasis = 0.97;
  bool snip_edges = true;
  std::int64_t mel_bins = 23;
  double low_hz = 20, high_hz = 0;  // at most 0: so far below half the sample rate
  std::int64_t cepstra = 13;        // of mfcc; of given: how wide the .mfc files of Sphinx are
  double lifter = 22;
  bool use_energy = false;
  double energy_floor = 0;  // of the energy of a frame that use_energy gives, not its logarithm
  // Of what is made or given:
  int deltas = 2;                 // orders of differences in time that are appended
  std::int64_t delta_window = 2;  // frames to each side
  Normalise mean = Normalise::speaker, variance = Normalise::speaker;
};

// The section `augment`: what is done to the audio of each utterance, each time at random.
struct AugmentOptions {
  int copies = 0;                        // beside the original
  double speed_low = 1, speed_high = 1;  // plays so much faster: pitch and length change
  double pitch_low = 1, pitch_high = 1;  // the pitch alone
  double gain_db_low = 0, gain_db_high = 0;
  double noise_db_low = 0, noise_db_high = 0;  // of the signal above white noise; both 0: no noise
};

}  // namespace hadal
