#pragma once
// Utterances with the numbers of their words, and files of their alignments: archives of the state of each frame.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "speech/alignment.h"
#include "speech/gaussian_training.h"
#include "speech/make_features.h"
#include "speech/training_frames.h"
#include "speech/transcript_places.h"

namespace hadal {

// Views of a FeatureSet, which outlives it.
struct Transcribed {
  std::vector<TrainingUtterance> utterances;
};

// Those whose words the dictionary has; the others are left out, or fatal (DataError). `places` of their transcripts
// are for what is told of them.
Transcribed transcribe(const FeatureSet& set, const Lexicon& lexicon, const TranscriptPlaces& places, BadSample on_bad,
                       LeftOut& left_out);

// The states of each frame by the utterance's name; what has no alignment is left out. Throws StorageError.
void write_alignments(const std::string& file, const Transcribed& utterances,
                      std::span<const std::optional<Alignment>> alignments);

// The utterances of a set that the file has, in the set's order.
struct Alignments {
  std::vector<std::vector<std::int32_t>> states;
  std::vector<AlignedFrames> frames;  // views of the set and of `states`
  std::int64_t count = 0;             // frames of all
};

// Throws ConfigError where the file cannot be opened, DataError where it is damaged or does not fit the set.
Alignments read_alignments(const std::string& file, const FeatureSet& set, std::int64_t state_count);

}  // namespace hadal
