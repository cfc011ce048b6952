#pragma once
// Forced alignment by a network.

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "speech/gaussian_training.h"

namespace hadal {

struct NetworkAlignmentOptions {
  double silence_probability = 0.5;
  int threads = 1;  // the result does not depend on it
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
};

// Of each utterance; none of those with too few frames.
std::vector<std::optional<Alignment>> align_by_network(const Lexicon& lexicon, const HmmStates& states,
                                                       AcousticModel& network,
                                                       std::span<const TrainingUtterance> utterances,
                                                       const NetworkAlignmentOptions& options);

}  // namespace hadal
