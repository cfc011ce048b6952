#include "speech/speech_model.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/elapsed.h"
#include "base/file.h"
#include "speech/gaussian_model.h"
#include "speech/network_model.h"
#include "speech/tasks.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kAtOnce = 32;               // utterances whose scores are kept
constexpr std::uint64_t kOptionsLimit = 1 << 16;  // bytes

void check_there(const RecipeRun& run, const std::string& file, const std::string& what) {
  if (std::filesystem::exists(file)) return;
  throw ConfigError(run.path() + ": has no " + what + " yet (" + file + "); 'hadal speech train' makes it");
}

}  // namespace

const char* to_string(AcousticKind kind) { return kind == AcousticKind::gmm ? "gmm" : "network"; }

SpeechLanguage open_language(const RecipeRun& run) {
  check_there(run, run.lexicon(), "dictionary");
  check_there(run, run.states(), "acoustic states");
  check_there(run, run.language(), "language model");
  Lexicon lexicon = Lexicon::read(run.lexicon());
  HmmStates states = HmmStates::read(run.states(), lexicon);
  return {std::move(lexicon), std::move(states), NgramModel::read(run.language())};
}

std::unique_ptr<AcousticModel> open_acoustic_model(const RecipeRun& run, AcousticKind kind, int threads) {
  if (kind == AcousticKind::network) {
    check_there(run, run.network() + "/model.safetensors", "network");
    return std::make_unique<NetworkModel>(run.network(), threads);
  }
  check_there(run, run.gmm_model(), "Gaussian mixtures");
  return std::make_unique<GaussianModel>(GaussianModel::load(run.gmm_model()));
}

DecodeOptions chosen_options(const RecipeRun& run, AcousticKind kind, const Recipe& recipe) {
  DecodeOptions options = recipe.decode.options;
  const std::string file = run.decode_options(to_string(kind));
  if (!recipe.decode.tune || !std::filesystem::exists(file)) return options;
  try {
    const nlohmann::json json = nlohmann::json::parse(read_file(file, kOptionsLimit));
    options.acoustic_scale = json.at("acoustic_scale").get<double>();
    options.word_penalty = json.at("word_penalty").get<double>();
  } catch (const nlohmann::json::exception&) {
    throw DataError(file + ": is damaged; 'hadal speech train' makes it again where it is removed");
  }
  return options;
}

void write_chosen_options(const RecipeRun& run, AcousticKind kind, const DecodeOptions& options) {
  const std::string file = run.decode_options(to_string(kind));
  create_folders(std::filesystem::path(file).parent_path());
  const nlohmann::ordered_json json{{"acoustic_scale", options.acoustic_scale}, {"word_penalty", options.word_penalty}};
  write_file(file, json.dump(1) + "\n");
}

SpeechModel::SpeechModel(const RecipeRun& run, AcousticKind kind, int threads)
    : recipe_((check_there(run, run.recipe(), "recipe"), load_recipe(run.recipe()))),
      language_(open_language(run)),
      acoustic_(open_acoustic_model(run, kind, threads)),
      options_(chosen_options(run, kind, recipe_)),
      graph_(make_decoding_graph(language_.lexicon, language_.states, language_.words, options_)) {
  if (acoustic_->states() != language_.states.size()) {
    throw DataError(run.path() + ": the " + to_string(kind) + " has " + std::to_string(acoustic_->states()) +
                    " states, but " + run.states() + " " + std::to_string(language_.states.size()) +
                    "; 'hadal speech train' makes them again");
  }
}

RecognisedUtterance SpeechModel::search(const FeatureMatrix& scores, double seconds) const {
  const auto start = Clock::now();
  const DecodedUtterance decoded = Decoder(graph_, options_).decode(scores);
  const double shift = recipe_.features.frame_shift_ms / 1000;
  RecognisedUtterance recognised;
  recognised.complete = decoded.complete;
  for (const DecodedWord& word : decoded.words) {
    recognised.words.push_back({language_.lexicon.words()[static_cast<std::size_t>(word.word)],
                                static_cast<double>(word.first) * shift, static_cast<double>(word.last) * shift,
                                word.confidence});
  }
  recognised.audio_seconds = static_cast<double>(scores.frames) * shift;
  recognised.seconds = seconds + seconds_since(start);
  return recognised;
}

RecognisedUtterance SpeechModel::recognise(const FeatureMatrix& features) {
  const auto start = Clock::now();
  const FeatureMatrix scores = acoustic_->score(features);
  return search(scores, seconds_since(start));
}

std::vector<RecognisedUtterance> SpeechModel::recognise(std::span<const UtteranceFeatures> utterances, int threads,
                                                        const std::function<void(std::int64_t)>& done) {
  std::vector<RecognisedUtterance> recognised(utterances.size());
  for (std::size_t first = 0; first < utterances.size(); first += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, utterances.size() - first);
    std::vector<FeatureMatrix> scores;
    std::vector<double> seconds;
    for (std::size_t i = 0; i < count; ++i) {
      const auto start = Clock::now();
      scores.push_back(acoustic_->score(utterances[first + i].features));
      seconds.push_back(seconds_since(start));
    }
    run_tasks(threads, static_cast<std::int64_t>(count), [&](std::int64_t task) {
      const auto i = static_cast<std::size_t>(task);
      recognised[first + i] = search(scores[i], seconds[i]);
    });
    if (done) done(static_cast<std::int64_t>(first + count));
  }
  return recognised;
}

}  // namespace hadal
