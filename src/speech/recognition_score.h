#pragma once
// What a model recognised of a part of the data: its files, and how many words are wrong.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "speech/speech_model.h"
#include "speech/word_errors.h"

namespace hadal {

struct RecognitionScore {
  std::vector<WordErrors> utterances;  // in the order of the part
  WordErrors all;
  Interval interval;  // of the rate
  double seconds = 0, audio_seconds = 0;

  double real_time_factor() const { return audio_seconds > 0 ? seconds / audio_seconds : 0; }
};

// The part has transcripts.
RecognitionScore score_recognition(std::span<const UtteranceFeatures> utterances,
                                   std::span<const RecognisedUtterance> recognised);

nlohmann::ordered_json to_json(const RecognitionScore& score, const std::optional<Comparison>& against_gmm);

// What to_json() says, of score.json: the utterances' errors too. Throws as read_file does, and DataError.
RecognitionScore read_score(const std::string& file);

// FOLDER/hyp.txt (ID WORD WORD ...) and words.ctm (ID 1 BEGIN DURATION WORD CONFIDENCE, in seconds).
void write_recognised(const std::string& folder, std::span<const UtteranceFeatures> utterances,
                      std::span<const RecognisedUtterance> recognised);

}  // namespace hadal
