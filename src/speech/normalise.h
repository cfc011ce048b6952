#pragma once
// What is done to features after they are made: differences in time, and mean and variance.

#include <cstdint>
#include <span>
#include <vector>

#include "speech/feature_matrix.h"
#include "speech/feature_options.h"

namespace hadal {

// Kaldi's add-deltas (feat/feature-functions.cc): `orders` regressions over `window` frames to each side are appended
// to each row, each over the one before it; the first and last frames stand for those outside.
FeatureMatrix add_deltas(const FeatureMatrix& features, int orders, std::int64_t window);

// Sums of frames, in double precision.
class FrameStatistics {
 public:
  void add(const FeatureMatrix& features);

  // Takes the mean off and makes the variance 1, as asked. A column that never changes becomes zeros, or keeps its
  // size. Nothing where no frame was added.
  void apply(FeatureMatrix& features, bool mean, bool variance) const;

  std::int64_t frames() const { return frames_; }

 private:
  std::int64_t frames_ = 0;
  std::vector<double> shift_, sum_, square_;  // of x - shift, the first frame
};

// Deltas, then mean and variance of all columns by the utterance alone, also where options say by speaker: of one
// recording whose speaker is not known.
FeatureMatrix finish_utterance(const FeatureMatrix& features, const FeatureOptions& options);

}  // namespace hadal
