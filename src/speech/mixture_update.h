#pragma once
// One step of expectation and maximisation for the mixtures of all states, whose frames are known; and how mixtures
// grow.

#include <cstdint>
#include <span>
#include <vector>

#include "speech/gaussian_model.h"

namespace hadal {

// A frame of some utterance.
struct FrameId {
  std::int32_t utterance = 0, frame = 0;
};

// Frames of each state, in an order that is the same in each run: sums follow it.
using FramesOfStates = std::vector<std::vector<FrameId>>;

struct MixtureUpdateOptions {
  std::vector<float> variance_floor;  // [dim]
  double least_occupancy = 10;        // Gaussians with less are removed, where the state has others
  int threads = 1;
};

struct MixtureUpdate {
  std::vector<GaussianMixture> mixtures;
  double log_likelihood = 0;  // of all frames, by the model as it was
};

// features: of each utterance. The result does not depend on the number of threads: sums are made in double precision
// over pieces of a state's frames, and the pieces' sums added in order. A state with fewer than two frames stays as it
// is.
MixtureUpdate update_mixtures(const GaussianModel& model, std::span<const FeatureMatrix* const> features,
                              const FramesOfStates& frames, const MixtureUpdateOptions& options);

// Mean and variance of frames, as one Gaussian; variances are at least the floor's. `otherwise` where there are fewer
// than two frames.
GaussianMixture single_gaussian(std::span<const FeatureMatrix* const> features, std::span<const FrameId> frames,
                                std::span<const float> variance_floor, const GaussianMixture& otherwise);

// How many Gaussians each state is to have, `gaussians` in all: one goes at a time to the state where frames^power
// divided by its Gaussians is the largest (Kaldi's GetSplitTargets), if it has `least_frames` for each.
std::vector<std::int64_t> split_targets(std::span<const std::int64_t> frames, std::span<const std::int64_t> have,
                                        std::int64_t gaussians, double power, double least_frames);

// The heaviest Gaussian of a mixture, time and again, becomes two, a fifth of its deviations to each side of its mean.
void split_mixture(GaussianMixture& mixture, std::int64_t target);

}  // namespace hadal
