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
  virtual FeatureMatrix score(const FeatureMatrix& features) = 0;
};

}  // namespace hadal
