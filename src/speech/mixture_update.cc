#include "speech/mixture_update.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "base/clones.h"
#include "base/error.h"
#include "ops/cpu/simd.h"
#include "speech/tasks.h"

namespace hadal {

namespace {

constexpr std::int64_t kPieceBlock = GaussianModel::kBlock;
constexpr std::int64_t kPiece = 4096;  // frames whose sums one task makes

struct Sums {
  std::vector<double> occupancy, first, second;  // [gaussians], [gaussians, dim] twice
  double log_likelihood = 0;
};

struct Piece {
  std::int64_t state = 0;
  std::size_t begin = 0, end = 0;  // of its frames
};

HADAL_CLONES void add_weighted(const double* x, double weight, std::int64_t dim, double* first, double* second) {
  for (std::int64_t d = 0; d < dim; ++d) {
    const double part = weight * x[d];
    first[d] += part;
    second[d] += part * x[d];
  }
}

// Probabilities of the Gaussians, [count][kBlock], in place of the logarithms of their shares.
HADAL_CLONES void to_shares(float* values, std::int64_t count, const float* sums) {
  for (std::int64_t g = 0; g < count; ++g) {
    float* row = values + g * kPieceBlock;
    for (std::int64_t f = 0; f < kPieceBlock; ++f) row[f] = fast_exp(row[f] - sums[f]);
  }
}

// The frames of a piece, a block after the other.
class PieceSums {
 public:
  PieceSums(const GaussianModel& model, std::span<const FeatureMatrix* const> features)
      : model_(model), features_(features), dim_(model.dim()), rows_(kPieceBlock, dim_) {
    block_.resize(static_cast<std::size_t>(dim_ * kPieceBlock));
    wide_.resize(static_cast<std::size_t>(dim_));
  }

  Sums of(std::int64_t state, std::span<const FrameId> frames, std::int64_t gaussians) {
    Sums sums;
    sums.occupancy.resize(static_cast<std::size_t>(gaussians));
    sums.first.resize(static_cast<std::size_t>(gaussians * dim_));
    sums.second.resize(sums.first.size());
    shares_.resize(static_cast<std::size_t>(gaussians * kPieceBlock));
    for (std::size_t begin = 0; begin < frames.size(); begin += kPieceBlock) {
      add_block(state, frames.subspan(begin, std::min<std::size_t>(kPieceBlock, frames.size() - begin)), sums);
    }
    return sums;
  }

 private:
  void add_block(std::int64_t state, std::span<const FrameId> frames, Sums& sums) {
    const auto gaussians = static_cast<std::int64_t>(sums.occupancy.size());
    rows_.frames = static_cast<std::int64_t>(frames.size());
    for (std::size_t f = 0; f < frames.size(); ++f) {
      const auto row = features_[static_cast<std::size_t>(frames[f].utterance)]->row(frames[f].frame);
      std::copy(row.begin(), row.end(), rows_.row(static_cast<std::int64_t>(f)).begin());
    }
    transpose_block(rows_, 0, block_.data());
    model_.score_gaussians(state, block_.data(), shares_.data());
    float totals[kPieceBlock];
    log_sum_columns(shares_.data(), gaussians, totals);
    to_shares(shares_.data(), gaussians, totals);
    for (std::int64_t f = 0; f < rows_.frames; ++f) {
      sums.log_likelihood += static_cast<double>(totals[f]);
      const auto row = rows_.row(f);
      std::copy(row.begin(), row.end(), wide_.begin());
      for (std::int64_t g = 0; g < gaussians; ++g) {
        const auto share = static_cast<double>(shares_[static_cast<std::size_t>(g * kPieceBlock + f)]);
        if (share == 0) continue;
        sums.occupancy[static_cast<std::size_t>(g)] += share;
        add_weighted(wide_.data(), share, dim_, sums.first.data() + g * dim_, sums.second.data() + g * dim_);
      }
    }
  }

  const GaussianModel& model_;
  std::span<const FeatureMatrix* const> features_;
  std::int64_t dim_;
  FeatureMatrix rows_;
  std::vector<float> block_, shares_;
  std::vector<double> wide_;
};

void add(Sums& to, const Sums& from) {
  const auto add_all = [](std::vector<double>& sums, const std::vector<double>& others) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += others[i];
  };
  add_all(to.occupancy, from.occupancy);
  add_all(to.first, from.first);
  add_all(to.second, from.second);
  to.log_likelihood += from.log_likelihood;
}

void append_gaussian(GaussianMixture& mixture, const Sums& sums, std::size_t g, std::span<const float> floor) {
  const std::size_t dim = floor.size();
  const double occupancy = sums.occupancy[g];
  for (std::size_t d = 0; d < dim; ++d) {
    const double mean = sums.first[g * dim + d] / occupancy;
    const double variance = sums.second[g * dim + d] / occupancy - mean * mean;
    mixture.means.push_back(static_cast<float>(mean));
    mixture.variances.push_back(std::max(static_cast<float>(variance), floor[d]));
  }
}

GaussianMixture maximise(const GaussianMixture& old, const Sums& sums, const MixtureUpdateOptions& options) {
  const std::size_t dim = options.variance_floor.size();
  const auto most =
      static_cast<std::size_t>(std::max_element(sums.occupancy.begin(), sums.occupancy.end()) - sums.occupancy.begin());
  if (sums.occupancy.empty() || sums.occupancy[most] < 2) return old;
  GaussianMixture mixture;
  double kept = 0;
  for (std::size_t g = 0; g < sums.occupancy.size(); ++g) {
    if (g != most && sums.occupancy[g] < options.least_occupancy) continue;
    mixture.weights.push_back(static_cast<float>(sums.occupancy[g]));
    kept += sums.occupancy[g];
    append_gaussian(mixture, sums, g, std::span(options.variance_floor).first(dim));
  }
  for (float& weight : mixture.weights) weight = static_cast<float>(static_cast<double>(weight) / kept);
  return mixture;
}

}  // namespace

MixtureUpdate update_mixtures(const GaussianModel& model, std::span<const FeatureMatrix* const> features,
                              const FramesOfStates& frames, const MixtureUpdateOptions& options) {
  std::vector<Piece> pieces;
  for (std::size_t s = 0; s < frames.size(); ++s) {
    for (std::size_t begin = 0; begin < frames[s].size(); begin += kPiece) {
      pieces.push_back({static_cast<std::int64_t>(s), begin, std::min<std::size_t>(begin + kPiece, frames[s].size())});
    }
  }
  MixtureUpdate update;
  for (std::int64_t s = 0; s < model.states(); ++s) update.mixtures.push_back(model.mixture(s));
  std::vector<Sums> sums(pieces.size());
  run_tasks(options.threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    const Piece& piece = pieces[static_cast<std::size_t>(i)];
    const auto state = static_cast<std::size_t>(piece.state);
    PieceSums worker(model, features);
    sums[static_cast<std::size_t>(i)] =
        worker.of(piece.state, std::span(frames[state]).subspan(piece.begin, piece.end - piece.begin),
                  static_cast<std::int64_t>(update.mixtures[state].weights.size()));
  });
  for (std::size_t i = 0; i < pieces.size();) {
    const std::int64_t state = pieces[i].state;
    Sums& total = sums[i];
    for (++i; i < pieces.size() && pieces[i].state == state; ++i) add(total, sums[i]);
    update.log_likelihood += total.log_likelihood;
    GaussianMixture& mixture = update.mixtures[static_cast<std::size_t>(state)];
    mixture = maximise(mixture, total, options);
  }
  return update;
}

GaussianMixture single_gaussian(std::span<const FeatureMatrix* const> features, std::span<const FrameId> frames,
                                std::span<const float> variance_floor, const GaussianMixture& otherwise) {
  if (frames.size() < 2) return otherwise;
  const std::size_t dim = variance_floor.size();
  Sums sums{.occupancy = {static_cast<double>(frames.size())},
            .first = std::vector<double>(dim),
            .second = std::vector<double>(dim)};
  for (const FrameId& frame : frames) {
    const auto row = features[static_cast<std::size_t>(frame.utterance)]->row(frame.frame);
    for (std::size_t d = 0; d < dim; ++d) {
      const auto x = static_cast<double>(row[d]);
      sums.first[d] += x;
      sums.second[d] += x * x;
    }
  }
  GaussianMixture mixture{.weights = {1}};
  append_gaussian(mixture, sums, 0, variance_floor);
  return mixture;
}

std::vector<std::int64_t> split_targets(std::span<const std::int64_t> frames, std::span<const std::int64_t> have,
                                        std::int64_t gaussians, double power, double least_frames) {
  std::vector<std::int64_t> targets(have.begin(), have.end());
  using Entry = std::pair<double, std::int64_t>;  // urgency, minus the state: of equal ones the first
  std::priority_queue<Entry> queue;
  const auto push = [&](std::size_t s) {
    const auto count = static_cast<double>(targets[s]);
    if (static_cast<double>(frames[s]) < least_frames * (count + 1)) return;
    queue.emplace(std::pow(static_cast<double>(frames[s]), power) / count, -static_cast<std::int64_t>(s));
  };
  std::int64_t total = 0;
  for (std::size_t s = 0; s < targets.size(); ++s) {
    total += targets[s];
    push(s);
  }
  for (; total < gaussians && !queue.empty(); ++total) {
    const auto s = static_cast<std::size_t>(-queue.top().second);
    queue.pop();
    ++targets[s];
    push(s);
  }
  return targets;
}

void split_mixture(GaussianMixture& mixture, std::int64_t target) {
  constexpr float kDeviations = 0.2f;
  while (static_cast<std::int64_t>(mixture.weights.size()) < target) {
    const auto g = static_cast<std::size_t>(std::max_element(mixture.weights.begin(), mixture.weights.end()) -
                                            mixture.weights.begin());
    const std::size_t dim = mixture.means.size() / mixture.weights.size();
    mixture.weights[g] *= 0.5f;
    mixture.weights.push_back(mixture.weights[g]);
    for (std::size_t d = 0; d < dim; ++d) {
      const float variance = mixture.variances[g * dim + d], step = kDeviations * std::sqrt(variance);
      mixture.variances.push_back(variance);
      mixture.means.push_back(mixture.means[g * dim + d] + step);
      mixture.means[g * dim + d] -= step;
    }
  }
}

}  // namespace hadal
