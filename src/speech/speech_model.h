#pragma once
// What a run recognises speech with: its dictionary, states, language model and one of its acoustic models.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "speech/acoustic_model.h"
#include "speech/decoder.h"
#include "speech/make_features.h"
#include "speech/recipe.h"
#include "speech/recipe_run.h"

namespace hadal {

// "gmm" or "network".
enum class AcousticKind { gmm, network };
const char* to_string(AcousticKind kind);

// What kind of utterances are decoded with: of either acoustic model.
struct SpeechLanguage {
  Lexicon lexicon;
  HmmStates states;
  NgramModel words;
};

SpeechLanguage open_language(const RecipeRun& run);
std::unique_ptr<AcousticModel> open_acoustic_model(const RecipeRun& run, AcousticKind kind, int threads);

// Words of an utterance, by name.
struct RecognisedWord {
  std::string word;
  double begin = 0, end = 0;  // seconds
  double confidence = 0;
};

struct RecognisedUtterance {
  std::vector<RecognisedWord> words;
  bool complete = true;  // false: the search lost the way to the end
  double seconds = 0;    // that it took, on one core
  double audio_seconds = 0;
};

// One thread calls it.
class SpeechModel {
 public:
  // Throws ConfigError where the run has no such model yet or its recipe is not what the model was trained with,
  // DataError where its files are damaged.
  SpeechModel(const RecipeRun& run, AcousticKind kind, int threads = 1);

  const Recipe& recipe() const { return recipe_; }
  const DecodeOptions& options() const { return options_; }
  const SpeechLanguage& language() const { return language_; }

  // Of any length: scores are computed a piece at a time.
  RecognisedUtterance recognise(const FeatureMatrix& features);

  // Of many, the searches on several threads; `done` is told how many, now and then. The same whatever the threads.
  std::vector<RecognisedUtterance> recognise(std::span<const UtteranceFeatures> utterances, int threads,
                                             const std::function<void(std::int64_t)>& done = {});

 private:
  RecognisedUtterance named(const DecodedUtterance& decoded, std::int64_t frames, double seconds) const;

  Recipe recipe_;
  SpeechLanguage language_;
  std::unique_ptr<AcousticModel> acoustic_;
  DecodeOptions options_;
  DecodingGraph graph_;
};

// What of a recipe shapes an acoustic model, kept in trained.json beside it: a run whose recipe.yaml says something
// else does not recognise with it. What `decode` says may change.
void keep_trained_recipe(const RecipeRun& run, AcousticKind kind, const Recipe& recipe);  // throws StorageError

// DecodeOptions of decode/MODEL/options.json, or the recipe's where there is none.
DecodeOptions chosen_options(const RecipeRun& run, AcousticKind kind, const Recipe& recipe);
void write_chosen_options(const RecipeRun& run, AcousticKind kind, const DecodeOptions& options);

}  // namespace hadal
