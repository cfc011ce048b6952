#pragma once
// Features of samples: logarithms of mel energies, and mel-frequency cepstral coefficients, as Kaldi computes them
// without dither (feat/feature-window.cc, mel-computations.cc, feature-fbank.cc, feature-mfcc.cc; not HTK's variant).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "speech/feature_matrix.h"
#include "speech/feature_options.h"

namespace hadal {

// Any thread may call any function. kind is fbank or mfcc.
class FeatureExtractor {
 public:
  // Throws ConfigError where options do not go together; it names the key of the section.
  explicit FeatureExtractor(const FeatureOptions& options);

  // Of a frame: the mel bins, one more with use_energy, or the cepstra.
  std::int64_t dim() const;

  std::int64_t frames(std::int64_t samples) const;

  // [frames, dim], without deltas and not normalised; `samples` are at options.sample_rate. No frames where they are
  // shorter than one.
  FeatureMatrix compute(std::span<const float> samples) const;

  const FeatureOptions& options() const { return options_; }

 private:
  // The weights of one filter, from the first bin of the spectrum that it hears.
  struct MelFilter {
    std::int64_t first = 0;
    std::vector<float> weights;
  };

  void make_filters();
  void make_cosines();
  float cut_frame(std::span<const float> samples, std::int64_t frame, std::span<float> window) const;
  void filter(std::span<const float> power, std::span<float> energies) const;
  void finish_row(std::span<const float> energies, float log_energy, std::span<float> row) const;

  FeatureOptions options_;
  std::int64_t length_ = 0, shift_ = 0, padded_ = 0;  // of a frame, in samples; padded for the transform
  std::vector<float> window_;
  std::vector<MelFilter> filters_;
  std::vector<float> cosines_;  // [cepstra, mel_bins], with the lifter
};

}  // namespace hadal
