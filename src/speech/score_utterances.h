#pragma once
// Acoustic scores of many utterances: a model computes them in one thread, and what is made of them runs on several.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/elapsed.h"
#include "speech/acoustic_model.h"
#include "speech/tasks.h"

namespace hadal {

// For each i in [0, count): use(i, scores of features_of(i), the seconds that they took), on `threads` threads, in any
// order. `done` is told after every few how many are done. The scores of one utterance at least are kept whole.
template <class FeaturesOf, class Use, class Done>
void score_utterances(AcousticModel& model, std::int64_t count, int threads, const FeaturesOf& features_of,
                      const Use& use, const Done& done) {
  constexpr std::int64_t kMostUtterances = 32, kMostFrames = 1 << 16;
  for (std::int64_t first = 0; first < count;) {
    std::vector<FeatureMatrix> scores;
    std::vector<double> seconds;
    for (std::int64_t frames = 0; first + std::ssize(scores) < count && std::ssize(scores) < kMostUtterances;) {
      const FeatureMatrix& features = features_of(first + std::ssize(scores));
      frames += features.frames;
      if (!scores.empty() && frames > kMostFrames) break;
      const auto start = std::chrono::steady_clock::now();
      scores.push_back(model.score(features));
      seconds.push_back(seconds_since(start));
    }
    run_tasks(threads, std::ssize(scores), [&](std::int64_t i) {
      use(first + i, scores[static_cast<std::size_t>(i)], seconds[static_cast<std::size_t>(i)]);
    });
    first += std::ssize(scores);
    done(first);
  }
}

}  // namespace hadal
