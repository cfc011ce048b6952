#pragma once
// Mixtures of diagonal Gaussians, one for each acoustic state.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "speech/acoustic_model.h"

namespace hadal {

// A mixture of Gaussians: weights sum to 1; means and variances are [gaussians, dim], row-major.
struct GaussianMixture {
  std::vector<float> weights, means, variances;
};

// Immutable, so any thread may call const functions.
class GaussianModel : public AcousticModel {
 public:
  // Each mixture has a Gaussian at least; variances are positive.
  GaussianModel(std::int64_t dim, const std::vector<GaussianMixture>& mixtures);

  // safetensors, metadata format = hadal-gmm-1: counts [states] (I32: Gaussians of each state), weights [all],
  // means and variances [all, dim]. load throws DataError where the file is not so or numbers are not finite.
  void save(const std::string& path) const;
  static GaussianModel load(const std::string& path, const Position& where = {});

  std::int64_t states() const override { return static_cast<std::int64_t>(first_.size()) - 1; }
  std::int64_t dim() const { return dim_; }
  std::int64_t gaussians() const { return first_.back(); }
  GaussianMixture mixture(std::int64_t state) const;

  using AcousticModel::score;
  FeatureMatrix score_part(const FeatureMatrix& features, std::int64_t first, std::int64_t count) override;

  // Of some states: a column for each that is named.
  FeatureMatrix score(const FeatureMatrix& features, std::span<const std::int32_t> states) const;

  // Logarithms of weight and density of each Gaussian of a state: [gaussians][kBlock], for kBlock frames that lie as
  // [dim][kBlock].
  static constexpr std::int64_t kBlock = 64;
  void score_gaussians(std::int64_t state, const float* block, float* scores) const;

 private:
  std::int64_t dim_ = 0;
  std::vector<std::int64_t> first_;                                      // Gaussian of each state, and their number
  std::vector<float> weights_, means_, variances_, halves_, constants_;  // halves: -1 / (2 variance)
};

// Frames from `first` on as [dim][kBlock]; those past the end are zeros.
void transpose_block(const FeatureMatrix& features, std::int64_t first, float* block);

// For each of kBlock columns of [count][kBlock]: the logarithm of the sum of the exponentials.
void log_sum_columns(const float* values, std::int64_t count, float* sums);

}  // namespace hadal
