#include "speech/network_alignment.h"

#include <algorithm>

#include "speech/score_utterances.h"

namespace hadal {

namespace {

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
  const auto count = static_cast<std::int64_t>(utterances.size());
  score_utterances(
      network, count, options.threads,
      [&](std::int64_t i) -> const FeatureMatrix& { return *utterances[static_cast<std::size_t>(i)].features; },
      [&](std::int64_t i, const FeatureMatrix& scores, double) {
        const auto u = static_cast<std::size_t>(i);
        const TranscriptGraph graph =
            make_transcript_graph(lexicon, states, utterances[u].words, options.silence_probability);
        alignments[u] = align(graph, columns_of(scores, graph.states));
      },
      [&](std::int64_t done) {
        if (options.progress) options.progress(done, count);
      });
  return alignments;
}

}  // namespace hadal
