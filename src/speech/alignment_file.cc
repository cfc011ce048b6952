#include "speech/alignment_file.h"

#include <algorithm>
#include <map>

#include "speech/archive.h"

namespace hadal {

Transcribed transcribe(const FeatureSet& set, const Lexicon& lexicon, const TranscriptPlaces& places, BadSample on_bad,
                       LeftOut& left_out) {
  Transcribed transcribed;
  for (const UtteranceFeatures& utterance : set.utterances) {
    TrainingUtterance next{utterance.id, {}, &utterance.features, utterance.copy > 0, places.of(utterance.source)};
    auto words = lexicon.words_of(next.name(), utterance.words, on_bad, left_out);
    if (!words) continue;
    next.words = std::move(*words);
    transcribed.utterances.push_back(std::move(next));
  }
  return transcribed;
}

void write_alignments(const std::string& file, const Transcribed& utterances,
                      std::span<const std::optional<Alignment>> alignments) {
  HADAL_CHECK(utterances.utterances.size() == alignments.size());
  ArchiveWriter writer(file);
  for (std::size_t i = 0; i < alignments.size(); ++i) {
    if (alignments[i]) writer.write(utterances.utterances[i].id, std::span<const std::int32_t>(alignments[i]->states));
  }
  writer.commit();
}

Alignments read_alignments(const std::string& file, const FeatureSet& set, std::int64_t state_count) {
  std::map<std::string, std::vector<std::int32_t>> by_id;
  ArchiveReader reader(file);
  while (const auto id = reader.next_key()) by_id[*id] = reader.integers();
  Alignments alignments;
  std::vector<const FeatureMatrix*> features;
  for (const UtteranceFeatures& utterance : set.utterances) {
    const auto found = by_id.find(utterance.id);
    if (found == by_id.end()) continue;
    const std::vector<std::int32_t>& states = found->second;
    const bool fits = static_cast<std::int64_t>(states.size()) == utterance.features.frames &&
                      std::ranges::all_of(states, [&](std::int32_t s) { return s >= 0 && s < state_count; });
    if (!fits) throw DataError(file + ": the alignment of '" + utterance.id + "' does not fit its features and states");
    features.push_back(&utterance.features);
    alignments.states.push_back(states);
    alignments.count += utterance.features.frames;
  }
  for (std::size_t i = 0; i < features.size(); ++i) alignments.frames.push_back({features[i], alignments.states[i]});
  return alignments;
}

}  // namespace hadal
