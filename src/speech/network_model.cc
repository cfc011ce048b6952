#include "speech/network_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "speech/training_frames.h"

namespace hadal {

static_assert(AcousticModel::kPieceFrames % 256 == 0);  // full batches of kBatchRows

namespace {

constexpr std::uint64_t kInputLimit = 1 << 30;  // bytes of priors.json
constexpr std::array<std::int64_t, 4> kBatchRows{256, 64, 16,
                                                 4};  // of a batch: the last ones of an utterance are filled up

std::string input_file(const std::string& folder) { return folder + "/priors.json"; }

// The batch that so many frames begin with: full ones first, then the smallest that holds the rest.
std::int64_t rows_of(std::int64_t frames) {
  std::int64_t rows = kBatchRows[0];
  for (const std::int64_t fewer : kBatchRows) {
    if (fewer >= frames) rows = fewer;
  }
  return rows;
}

}  // namespace

void write_network_input(const std::string& folder, const NetworkInput& input) {
  nlohmann::ordered_json json;
  json["feature_dim"] = input.feature_dim;
  json["splice"] = {{"left", input.splice.left}, {"right", input.splice.right}};
  json["log_priors"] = input.log_priors;
  write_file(input_file(folder), json.dump(1) + "\n");
}

NetworkInput read_network_input(const std::string& folder) {
  const std::string file = input_file(folder);
  const nlohmann::json json = nlohmann::json::parse(read_file(file, kInputLimit), nullptr, false);
  try {
    NetworkInput input;
    input.feature_dim = json.at("feature_dim").get<std::int64_t>();
    input.splice = {json.at("splice").at("left").get<std::int64_t>(),
                    json.at("splice").at("right").get<std::int64_t>()};
    input.log_priors = json.at("log_priors").get<std::vector<float>>();
    const bool fits = input.feature_dim > 0 && input.feature_dim < (1 << 24) && input.splice.left >= 0 &&
                      input.splice.left <= 100 && input.splice.right >= 0 && input.splice.right <= 100;
    const bool finite = std::ranges::all_of(input.log_priors, [](float prior) { return std::isfinite(prior); });
    if (fits && finite) return input;
  } catch (const nlohmann::json::exception&) {
  }
  throw DataError(file + ": is damaged: it should have feature_dim, splice and log_priors; train the network again");
}

NetworkModel::NetworkModel(const std::string& folder, int threads)
    : input_(read_network_input(folder)), trained_(open_trained(folder)) {
  const std::int64_t spliced = (input_.splice.left + 1 + input_.splice.right) * input_.feature_dim;
  const Network& network = trained_.model.network;
  if (elements(network.input) != spliced || elements(network.layers.back().output) != states()) {
    throw DataError(input_file(folder) + ": does not fit the network: it is for " + std::to_string(spliced) +
                    " inputs and " + std::to_string(states()) + " states, the network for " +
                    std::to_string(elements(network.input)) + " and " +
                    std::to_string(elements(network.layers.back().output)));
  }
  trained_.job.parallel = {};
  trained_.job.parallel.threads = threads;
  trained_.job.exchange = {};
  trained_.job.memory = {};
  trained_.job.data.batch = kBatchRows[0];
  std::vector<PlanKey> keys;
  for (const std::int64_t rows : kBatchRows) keys.push_back({PlanMode::predict, rows});
  engine_ = engine_for(trained_, keys);
  batch_.resize(static_cast<std::size_t>(kBatchRows[0] * spliced));
}

FeatureMatrix NetworkModel::score_part(const FeatureMatrix& features, std::int64_t begin, std::int64_t all) {
  if (features.dim != input_.feature_dim) {
    throw DataError("features are " + std::to_string(features.dim) + " numbers a frame, and the network takes " +
                    std::to_string(input_.feature_dim));
  }
  const auto width = static_cast<std::size_t>(elements(trained_.model.network.input));
  FeatureMatrix scores(all, states());
  for (std::int64_t first = 0; first < all;) {
    const std::int64_t rows = rows_of(all - first), count = std::min(rows, all - first);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t frame = begin + first + std::min(r, count - 1);
      splice_frame(features, frame, input_.splice,
                   std::span(batch_).subspan(static_cast<std::size_t>(r) * width, width));
    }
    const std::vector<float> probabilities = engine_->predict(rows, batch_.data());
    for (std::int64_t r = 0; r < count; ++r) {
      const std::span<float> row = scores.row(first + r);
      for (std::size_t s = 0; s < row.size(); ++s) {
        const float probability = probabilities[static_cast<std::size_t>(r) * row.size() + s];
        row[s] = std::log(std::max(probability, std::numeric_limits<float>::min())) - input_.log_priors[s];
      }
    }
    first += count;
  }
  return scores;
}

}  // namespace hadal
