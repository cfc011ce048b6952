#pragma once
// What says how well frames fit acoustic states: Gaussian mixtures, or a network with the states' priors.

#include <cstdint>

#include "speech/feature_matrix.h"

namespace hadal {

// Any thread may call any function, but each model from one at a time.
class AcousticModel {
 public:
  virtual ~AcousticModel() = default;

  virtual std::int64_t states() const = 0;

  // Natural logarithms of p(frame | state), up to a number of the frame's own: [features.frames, states()]. Throws
  // DataError where features are not as wide as the model's.
  FeatureMatrix score(const FeatureMatrix& features) { return score_part(features, 0, features.frames); }

  // Of frames first .. first + count - 1 alone, [count, states()], with the others around them: a long utterance in
  // pieces that each begin kPieceFrames behind the one before has the same scores, to the bit.
  static constexpr std::int64_t kPieceFrames = 4096;
  virtual FeatureMatrix score_part(const FeatureMatrix& features, std::int64_t first, std::int64_t count) = 0;
};

}  // namespace hadal
