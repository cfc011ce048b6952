#pragma once
// The numbers of decoding that suit an acoustic model, by its word errors on the held-out part.

#include <functional>
#include <span>
#include <vector>

#include "speech/speech_model.h"
#include "speech/word_errors.h"

namespace hadal {

struct Tried {
  DecodeOptions options;
  WordErrors errors;
};

// acoustic_scale first, at the word_penalty given, then word_penalty at the best scale. `given` is the first that is
// tried. The same for any number of threads. `progress`: after each utterance that is scored or searched, from one
// thread at a time.
std::vector<Tried> tune_decoding(const RecipeRun& run, AcousticKind kind, const DecodeOptions& given,
                                 const FeatureSet& held_out, int threads,
                                 const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

// The fewest errors; of equal ones the first.
const Tried& best_of(std::span<const Tried> tried);

}  // namespace hadal
