#include "speech/tuning.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "speech/tasks.h"

namespace hadal {

namespace {

constexpr std::array<double, 9> kScales{0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.6, 1};
constexpr std::array<double, 8> kPenalties{-6, -4, -2, -1, 1, 2, 4, 6};  // added to what is given

// `step` is told from any thread that one utterance more is searched.
WordErrors errors_of(const SpeechLanguage& language, const DecodeOptions& options, const FeatureSet& set,
                     std::span<const FeatureMatrix> scores, int threads, const std::function<void()>& step) {
  const DecodingGraph graph = make_decoding_graph(language.lexicon, language.states, language.words, options);
  const Decoder decoder(graph, options);
  std::vector<WordErrors> errors(scores.size());
  run_tasks(threads, static_cast<std::int64_t>(scores.size()), [&](std::int64_t task) {
    const auto i = static_cast<std::size_t>(task);
    Transcript words;
    for (const DecodedWord& word : decoder.decode(scores[i]).words) {
      words.push_back(language.lexicon.words()[static_cast<std::size_t>(word.word)]);
    }
    errors[i] = count_errors(align_words(set.utterances[i].words, words));
    step();
  });
  WordErrors all;
  for (const WordErrors& one : errors) all += one;
  return all;
}

}  // namespace

std::vector<Tried> tune_decoding(const RecipeRun& run, AcousticKind kind, const DecodeOptions& given,
                                 const FeatureSet& held_out, int threads,
                                 const std::function<void(std::int64_t done, std::int64_t all)>& progress) {
  const SpeechLanguage language = open_language(run);
  const std::unique_ptr<AcousticModel> model = open_acoustic_model(run, kind, threads);
  std::mutex telling;
  std::int64_t done = 0;
  const auto all = static_cast<std::int64_t>((2 + kScales.size() + kPenalties.size()) * held_out.utterances.size());
  const std::function<void()> step = [&] {
    const std::lock_guard lock(telling);
    ++done;
    if (progress) progress(done, all);
  };
  std::vector<FeatureMatrix> scores;
  for (const UtteranceFeatures& utterance : held_out.utterances) {
    scores.push_back(model->score(utterance.features));
    step();
  }
  std::vector<Tried> tried;
  const auto attempt = [&](const DecodeOptions& options) {
    tried.push_back({options, errors_of(language, options, held_out, scores, threads, step)});
  };
  attempt(given);
  for (const double scale : kScales) {
    DecodeOptions options = given;
    options.acoustic_scale = scale;
    attempt(options);
  }
  const DecodeOptions best = best_of(tried).options;
  for (const double penalty : kPenalties) {
    DecodeOptions options = best;
    options.word_penalty = given.word_penalty + penalty;
    attempt(options);
  }
  return tried;
}

const Tried& best_of(std::span<const Tried> tried) {
  return *std::ranges::min_element(tried, {}, [](const Tried& one) { return one.errors.errors(); });
}

}  // namespace hadal
