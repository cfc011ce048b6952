#include "speech/speech_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/elapsed.h"
#include "base/file.h"
#include "base/sha256.h"
#include "speech/gaussian_model.h"
#include "speech/network_model.h"
#include "speech/run_files.h"
#include "speech/score_utterances.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t kOptionsLimit = 1 << 16, kTrainedLimit = 1 << 24, kTextLimit = 1 << 30;  // bytes

void check_there(const RecipeRun& run, const std::string& file, const std::string& what) {
  std::error_code error;
  const auto folder = std::filesystem::status(run.path(), error);
  if (folder.type() == std::filesystem::file_type::not_found) {
    throw ConfigError(run.path() + ": there is no such folder; name that of a run of 'hadal speech train'");
  }
  if (!std::filesystem::exists(folder)) throw ConfigError(run.path() + ": cannot be read: " + error.message());
  if (!std::filesystem::is_directory(folder)) {
    throw ConfigError(run.path() + ": is not a folder; name that of a run of 'hadal speech train'");
  }
  if (is_there(file)) return;
  if (!is_there(run.recipe()) && is_there(run.path() + "/job.yaml")) {
    throw ConfigError(run.path() +
                      ": is a run of 'hadal train', which 'hadal eval' and 'hadal predict' are for; name " +
                      "the folder of a run of 'hadal speech train', not its network's");
  }
  throw ConfigError(run.path() + ": has no " + what + " yet (" + file + "); 'hadal speech train' makes it");
}

// What shapes the model, of these sections only.
nlohmann::json shaping(const Recipe& recipe, AcousticKind kind) {
  std::vector<std::string> keys{"seed", "features", "augment", "hmm", "gmm"};
  if (kind == AcousticKind::network) keys.insert(keys.end(), {"network", "solver", "batch"});
  return nlohmann::json::parse(identity(recipe, keys));
}

// The first key at which they differ, and its two values; empty where they are equal. A key that the first lacks is of
// a later version.
struct Difference {
  std::string key;
  nlohmann::json was, is;
};
Difference first_difference(const nlohmann::json& was, const nlohmann::json& is, const std::string& key) {
  if (!was.is_object() || !is.is_object()) return was == is ? Difference{} : Difference{key, was, is};
  const std::string below = key.empty() ? "" : key + ".";
  for (const auto& [name, value] : was.items()) {
    const nlohmann::json other = is.contains(name) ? is.at(name) : nlohmann::json();
    Difference found = first_difference(value, other, below + name);
    if (!found.key.empty()) return found;
  }
  return {};
}

std::string shown_value(const nlohmann::json& value) { return value.is_null() ? "absent" : value.dump(); }

// What a model's outputs are: states of the words' sounds.
std::string states_of(const RecipeRun& run) {
  const std::string text = read_file(run.states(), kTextLimit) + read_file(run.lexicon(), kTextLimit);
  return sha256(std::as_bytes(std::span(text)));
}

nlohmann::json read_trained(const RecipeRun& run) {
  if (!is_there(run.trained())) return nlohmann::json::object();  // of an earlier version
  nlohmann::json kept = nlohmann::json::parse(read_file(run.trained(), kTrainedLimit), nullptr, false);
  if (kept.is_object()) return kept;
  throw DataError(run.trained() + ": is damaged; 'hadal speech train' makes it again where it is removed");
}

// The run's recipe, as its model was trained with it.
Recipe trained_recipe(const RecipeRun& run, AcousticKind kind) {
  check_there(run, run.recipe(), "recipe");
  Recipe recipe = load_recipe(run.recipe());
  const nlohmann::json kept = read_trained(run);
  if (!kept.contains(to_string(kind))) return recipe;
  check_there(run, run.lexicon(), "dictionary");
  check_there(run, run.states(), "acoustic states");
  const nlohmann::json& then = kept.at(to_string(kind));
  if (!then.is_object() || !then.contains("recipe") || !then.at("recipe").is_object() || !then.contains("states")) {
    throw DataError(run.trained() + ": is damaged, or of an earlier version of hadal; 'hadal speech train' with the " +
                    "run's recipe writes it anew, and trains only what is missing");
  }
  const Difference difference = first_difference(then.at("recipe"), shaping(recipe, kind), "");
  if (difference.key.empty() && then.at("states") != states_of(run)) {
    throw ConfigError(fmt::format(
        "{}: the {} was trained for other states or another dictionary than the run has now; 'hadal speech train' "
        "trains it again",
        run.path(), to_string(kind)));
  }
  if (difference.key.empty()) return recipe;
  throw ConfigError(fmt::format(
      "{}: {} is {}, and the {} of this run was trained with {}; put that back, or train again with 'hadal speech "
      "train'",
      run.recipe(), difference.key, shown_value(difference.is), to_string(kind), shown_value(difference.was)));
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
  if (!recipe.decode.tune || !is_there(file)) return options;
  try {
    const nlohmann::json json = nlohmann::json::parse(read_file(file, kOptionsLimit));
    options.acoustic_scale = json.at("acoustic_scale").get<double>();
    options.word_penalty = json.at("word_penalty").get<double>();
  } catch (const nlohmann::json::exception&) {
    throw DataError(file + ": is damaged; 'hadal speech train' makes it again where it is removed");
  }
  return options;
}

void keep_trained_recipe(const RecipeRun& run, AcousticKind kind, const Recipe& recipe) {
  nlohmann::json kept = read_trained(run);
  const nlohmann::json now{{"recipe", shaping(recipe, kind)}, {"states", states_of(run)}};
  if (kept.contains(to_string(kind)) && kept.at(to_string(kind)) == now) return;
  kept[to_string(kind)] = now;
  write_file(run.trained(), kept.dump(1) + "\n");
}

void write_chosen_options(const RecipeRun& run, AcousticKind kind, const DecodeOptions& options) {
  const std::string file = run.decode_options(to_string(kind));
  create_folders(std::filesystem::path(file).parent_path());
  const nlohmann::ordered_json json{{"acoustic_scale", options.acoustic_scale}, {"word_penalty", options.word_penalty}};
  write_file(file, json.dump(1) + "\n");
}

SpeechModel::SpeechModel(const RecipeRun& run, AcousticKind kind, int threads)
    : recipe_(trained_recipe(run, kind)),
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

RecognisedUtterance SpeechModel::named(const DecodedUtterance& decoded, std::int64_t frames, double seconds) const {
  const double shift = recipe_.features.frame_shift_ms / 1000;
  RecognisedUtterance recognised;
  recognised.complete = decoded.complete;
  for (const DecodedWord& word : decoded.words) {
    recognised.words.push_back({language_.lexicon.words()[static_cast<std::size_t>(word.word)],
                                static_cast<double>(word.first) * shift, static_cast<double>(word.last) * shift,
                                word.confidence});
  }
  recognised.audio_seconds = static_cast<double>(frames) * shift;
  recognised.seconds = seconds;
  return recognised;
}

RecognisedUtterance SpeechModel::recognise(const FeatureMatrix& features) {
  const auto start = Clock::now();
  Decoding decoding(graph_, options_);
  for (std::int64_t first = 0; first < features.frames; first += AcousticModel::kPieceFrames) {
    const std::int64_t count = std::min(AcousticModel::kPieceFrames, features.frames - first);
    decoding.add(acoustic_->score_part(features, first, count));
  }
  const DecodedUtterance decoded = decoding.finish();
  return named(decoded, features.frames, seconds_since(start));
}

std::vector<RecognisedUtterance> SpeechModel::recognise(std::span<const UtteranceFeatures> utterances, int threads,
                                                        const std::function<void(std::int64_t)>& done) {
  std::vector<RecognisedUtterance> recognised(utterances.size());
  score_utterances(
      *acoustic_, std::ssize(recognised), threads,
      [&](std::int64_t i) -> const FeatureMatrix& { return utterances[static_cast<std::size_t>(i)].features; },
      [&](std::int64_t i, const FeatureMatrix& scores, double seconds) {
        const auto start = Clock::now();
        const DecodedUtterance decoded = Decoder(graph_, options_).decode(scores);
        recognised[static_cast<std::size_t>(i)] = named(decoded, scores.frames, seconds + seconds_since(start));
      },
      [&](std::int64_t count) {
        if (done) done(count);
      });
  return recognised;
}

}  // namespace hadal
