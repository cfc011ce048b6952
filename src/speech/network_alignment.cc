#include "speech/network_alignment.h"

#include <algorithm>

#include "speech/tasks.h"

namespace hadal {

namespace {

constexpr std::size_t kUtterancesAtOnce = 32;  // utterances whose scores are kept

// The columns of some states.
FeatureMatrix columns_of(const FeatureMatrix& scores, std::span<const std::int32_t> states) {
  FeatureMatrix columns(scores.frames, static_cast<std::int64_t>(states.size()));
  for (std::int64_t f = 0; f < scores.frames; ++f) {
    const std::span<const float> from = scores.row(f);
    const std::span<float> to = columns.row(f);
    for (std::size_t s = 0; s < states.size(); ++s) to[s] = from[static_cast<std::size_t>(states[s])];
  }
  return columns;
}

}  // namespace

std::vector<std::optional<Alignment>> align_by_network(const Lexicon& lexicon, const HmmStates& states,
                                                       AcousticModel& network,
                                                       std::span<const TrainingUtterance> utterances,
                                                       const NetworkAlignmentOptions& options) {
  std::vector<std::optional<Alignment>> alignments(utterances.size());
  for (std::size_t first = 0; first < utterances.size(); first += kUtterancesAtOnce) {
    const std::size_t count = std::min(kUtterancesAtOnce, utterances.size() - first);
    std::vector<FeatureMatrix> scores;
    for (std::size_t i = 0; i < count; ++i) scores.push_back(network.score(*utterances[first + i].features));
    run_tasks(options.threads, static_cast<std::int64_t>(count), [&](std::int64_t task) {
      const auto i = static_cast<std::size_t>(task);
      const TranscriptGraph graph =
          make_transcript_graph(lexicon, states, utterances[first + i].words, options.silence_probability);
      alignments[first + i] = align(graph, columns_of(scores[i], graph.states));
    });
    if (options.progress) {
      options.progress(static_cast<std::int64_t>(first + count), static_cast<std::int64_t>(utterances.size()));
    }
  }
  return alignments;
}

}  // namespace hadal
