#include "speech/gaussian_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/clones.h"
#include "ops/cpu/simd.h"
#include "tensor/safetensors.h"

namespace hadal {

namespace {

constexpr std::int64_t kBlockFrames = GaussianModel::kBlock;

HADAL_CLONES void score_block(const float* block, std::int64_t dim, const float* means, const float* halves,
                              const float* constants, std::int64_t count, float* scores) {
  for (std::int64_t g = 0; g < count; ++g) {
    float sums[kBlockFrames];
    for (std::int64_t f = 0; f < kBlockFrames; ++f) sums[f] = constants[g];
    for (std::int64_t d = 0; d < dim; ++d) {
      const float mean = means[g * dim + d], half = halves[g * dim + d];
      const float* x = block + d * kBlockFrames;
      for (std::int64_t f = 0; f < kBlockFrames; ++f) {
        const float distance = x[f] - mean;
        sums[f] += distance * distance * half;
      }
    }
    for (std::int64_t f = 0; f < kBlockFrames; ++f) scores[g * kBlockFrames + f] = sums[f];
  }
}

HADAL_CLONES void log_sum(const float* values, std::int64_t count, float* result) {
  float most[kBlockFrames], sums[kBlockFrames];
  for (std::int64_t f = 0; f < kBlockFrames; ++f) most[f] = values[f];
  for (std::int64_t g = 1; g < count; ++g) {
    const float* row = values + g * kBlockFrames;
    for (std::int64_t f = 0; f < kBlockFrames; ++f) most[f] = row[f] > most[f] ? row[f] : most[f];
  }
  for (std::int64_t f = 0; f < kBlockFrames; ++f) sums[f] = 0;
  for (std::int64_t g = 0; g < count; ++g) {
    const float* row = values + g * kBlockFrames;
    for (std::int64_t f = 0; f < kBlockFrames; ++f) sums[f] += fast_exp(row[f] - most[f]);
  }
  for (std::int64_t f = 0; f < kBlockFrames; ++f) result[f] = most[f] + fast_log(sums[f]);
}

void check_finite(const std::string& file, const std::string& name, std::span<const float> values, bool positive) {
  for (const float value : values) {
    if (!std::isfinite(value) || (positive && value <= 0)) {
      throw DataError(fmt::format("{}: {} has the value {}; train the model again", file, name, value));
    }
  }
}

}  // namespace

void transpose_block(const FeatureMatrix& features, std::int64_t first, float* block) {
  const std::int64_t count = std::min(kBlockFrames, features.frames - first);
  std::fill(block, block + features.dim * kBlockFrames, 0.0f);
  for (std::int64_t f = 0; f < count; ++f) {
    const std::span<const float> row = features.row(first + f);
    for (std::int64_t d = 0; d < features.dim; ++d) block[d * kBlockFrames + f] = row[static_cast<std::size_t>(d)];
  }
}

void log_sum_columns(const float* values, std::int64_t count, float* sums) { log_sum(values, count, sums); }

GaussianModel::GaussianModel(std::int64_t dim, const std::vector<GaussianMixture>& mixtures) : dim_(dim), first_{0} {
  for (const GaussianMixture& mixture : mixtures) {
    HADAL_CHECK(!mixture.weights.empty());
    HADAL_CHECK(mixture.means.size() == mixture.weights.size() * static_cast<std::size_t>(dim));
    HADAL_CHECK(mixture.variances.size() == mixture.means.size());
    first_.push_back(first_.back() + static_cast<std::int64_t>(mixture.weights.size()));
    weights_.insert(weights_.end(), mixture.weights.begin(), mixture.weights.end());
    means_.insert(means_.end(), mixture.means.begin(), mixture.means.end());
    variances_.insert(variances_.end(), mixture.variances.begin(), mixture.variances.end());
  }
  for (std::size_t g = 0; g < weights_.size(); ++g) {
    double constant = std::log(std::max(static_cast<double>(weights_[g]), 1e-30));
    constant -= 0.5 * static_cast<double>(dim) * std::log(2 * std::numbers::pi);
    for (std::size_t i = g * static_cast<std::size_t>(dim); i < (g + 1) * static_cast<std::size_t>(dim); ++i) {
      constant -= 0.5 * std::log(static_cast<double>(variances_[i]));
      halves_.push_back(static_cast<float>(-0.5 / static_cast<double>(variances_[i])));
    }
    constants_.push_back(static_cast<float>(constant));
  }
}

GaussianMixture GaussianModel::mixture(std::int64_t state) const {
  const auto begin = static_cast<std::ptrdiff_t>(first_[static_cast<std::size_t>(state)]);
  const auto end = static_cast<std::ptrdiff_t>(first_[static_cast<std::size_t>(state) + 1]);
  const auto width = static_cast<std::ptrdiff_t>(dim_);
  return {{weights_.begin() + begin, weights_.begin() + end},
          {means_.begin() + begin * width, means_.begin() + end * width},
          {variances_.begin() + begin * width, variances_.begin() + end * width}};
}

void GaussianModel::score_gaussians(std::int64_t state, const float* block, float* scores) const {
  const std::int64_t first = first_[static_cast<std::size_t>(state)];
  score_block(block, dim_, means_.data() + first * dim_, halves_.data() + first * dim_, constants_.data() + first,
              first_[static_cast<std::size_t>(state) + 1] - first, scores);
}

FeatureMatrix GaussianModel::score_part(const FeatureMatrix& features, std::int64_t first, std::int64_t count) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(states()));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i);
  if (count == features.frames) return score(features, all);
  FeatureMatrix part(count, features.dim);
  const auto begin = features.values.begin() + static_cast<std::ptrdiff_t>(first * features.dim);
  std::copy_n(begin, part.values.size(), part.values.begin());
  return score(part, all);
}

FeatureMatrix GaussianModel::score(const FeatureMatrix& features, std::span<const std::int32_t> states) const {
  if (features.frames > 0 && features.dim != dim_) {
    throw DataError(
        fmt::format("the features have {} numbers a frame, and the model was trained on {}; make them as "
                    "its recipe says",
                    features.dim, dim_));
  }
  FeatureMatrix result(features.frames, static_cast<std::int64_t>(states.size()));
  std::int64_t most = 1;
  for (const std::int32_t state : states) {
    const auto s = static_cast<std::size_t>(state);
    most = std::max(most, first_[s + 1] - first_[s]);
  }
  std::vector<float> block(static_cast<std::size_t>(dim_ * kBlock)), scores(static_cast<std::size_t>(most * kBlock));
  float sums[kBlock];
  for (std::int64_t first = 0; first < features.frames; first += kBlock) {
    const std::int64_t count = std::min(kBlock, features.frames - first);
    transpose_block(features, first, block.data());
    for (std::size_t i = 0; i < states.size(); ++i) {
      const auto s = static_cast<std::size_t>(states[i]);
      score_gaussians(states[i], block.data(), scores.data());
      log_sum(scores.data(), first_[s + 1] - first_[s], sums);
      for (std::int64_t f = 0; f < count; ++f) result.row(first + f)[i] = sums[f];
    }
  }
  return result;
}

void GaussianModel::save(const std::string& path) const {
  std::vector<std::int32_t> counts;
  for (std::size_t s = 0; s + 1 < first_.size(); ++s) {
    counts.push_back(static_cast<std::int32_t>(first_[s + 1] - first_[s]));
  }
  const auto bytes = [](const auto& values) { return std::as_bytes(std::span(values)); };
  write_safetensors(path, {{"format", "hadal-gmm-1"}},
                    {{"counts", DType::i32, {states()}, bytes(counts)},
                     {"weights", DType::f32, {gaussians()}, bytes(weights_)},
                     {"means", DType::f32, {gaussians(), dim_}, bytes(means_)},
                     {"variances", DType::f32, {gaussians(), dim_}, bytes(variances_)}});
}

GaussianModel GaussianModel::load(const std::string& path, const Position& where) {
  const SafetensorsFile file = SafetensorsFile::open(path, where);
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != "hadal-gmm-1") {
    throw DataError(path + ": is no model of Gaussians: its metadata have no format = hadal-gmm-1");
  }
  const TensorData counts_data = file.tensor("counts"), means_data = file.tensor("means");
  if (counts_data.type != DType::i32 || counts_data.shape.size() != 1 || means_data.shape.size() != 2) {
    throw DataError(path + ": counts are not [states] of I32, or means not [gaussians, dim]");
  }
  std::vector<std::int32_t> counts(static_cast<std::size_t>(counts_data.shape[0]));
  if (!counts.empty()) std::memcpy(counts.data(), counts_data.bytes.data(), counts_data.bytes.size());
  const std::int64_t all = means_data.shape[0], dim = means_data.shape[1];
  std::int64_t sum = 0;
  for (const std::int32_t count : counts) {
    if (count < 1) throw DataError(path + ": counts has a state without Gaussians");
    sum += count;
  }
  if (sum != all || sum == 0 || dim == 0)
    throw DataError(path + ": counts and means are not of one number of Gaussians");
  std::vector<float> weights(static_cast<std::size_t>(all)), means(static_cast<std::size_t>(all * dim)),
      variances(means.size());
  file.copy_floats("weights", {all}, weights);
  file.copy_floats("means", {all, dim}, means);
  file.copy_floats("variances", {all, dim}, variances);
  check_finite(path, "weights", weights, false);
  check_finite(path, "means", means, false);
  check_finite(path, "variances", variances, true);
  std::vector<GaussianMixture> mixtures;
  std::ptrdiff_t at = 0;
  for (const std::int32_t count : counts) {
    const auto width = static_cast<std::ptrdiff_t>(dim);
    mixtures.push_back({{weights.begin() + at, weights.begin() + at + count},
                        {means.begin() + at * width, means.begin() + (at + count) * width},
                        {variances.begin() + at * width, variances.begin() + (at + count) * width}});
    at += count;
  }
  return {dim, mixtures};
}

}  // namespace hadal
