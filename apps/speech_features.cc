// hadal speech features: the features of a data folder.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/file.h"
#include "base/printable.h"
#include "speech/audio_file.h"
#include "speech/feature_extractor.h"
#include "speech/make_features.h"
#include "speech/recipe.h"
#include "speech/spectrogram_svg.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

// A recipe of which nothing but features, augment and seed is used.
constexpr const char* kOnlyFeatures = R"(name: features
data: {train: none}
lexicon: none
network: {layers: [sigmoid]}
solver: {epochs: 1, rule: {sgd: {rate: 0.1}}}
)";

struct SpeechFeaturesCommand {
  std::string data, out, recipe, svg;
  std::vector<std::string> sets;
  int threads = 0, draw = 5;
  bool skip = false, json = false;

  void run() const {
    const FeatureJob job = make_job();
    check_folder(out);
    std::error_code none;
    if (std::filesystem::equivalent(data, out, none)) {
      throw ConfigError(out + ": is the data itself, whose text would be overwritten; name another folder with --out");
    }
    const auto start = Clock::now();
    const FeatureSet set = make_features(data, job);
    if (!json && stdout_is_terminal()) fmt::print("\r\033[K");
    write_feature_folder(out, set);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!svg.empty()) draw_some(job.features, set);
    show(set, seconds);
  }

 private:
  FeatureJob make_job() const {
    std::vector<Override> overrides;
    for (const std::string& set : sets) overrides.push_back(parse_override(set));
    const Recipe parsed =
        recipe.empty() ? parse_recipe(kOnlyFeatures, "--set", overrides) : load_recipe(recipe, overrides);
    FeatureJob job;
    job.features = parsed.features;
    job.augment = parsed.augment;
    job.seed = parsed.seed();
    job.threads = threads;
    job.on_bad = skip ? BadSample::skip : parsed.data.on_bad_utterance;
    if (!json && stdout_is_terminal()) {
      job.progress = [last = Clock::time_point()](std::int64_t done, std::int64_t all) mutable {
        if (done != all && Clock::now() - last < std::chrono::milliseconds(100)) return;
        last = Clock::now();
        fmt::print("\r\033[K{} of {} utterances", format_count(static_cast<double>(done)),
                   format_count(static_cast<double>(all)));
        std::fflush(stdout);
      };
    }
    return job;
  }

  // Of the first originals: log-mel energies of their audio, or the features that were given.
  void draw_some(const FeatureOptions& options, const FeatureSet& set) const {
    create_folders(svg);
    FeatureOptions picture = options;
    picture.kind = FeatureKind::fbank;
    picture.use_energy = false;
    picture.mel_bins = std::max<std::int64_t>(picture.mel_bins, 40);
    const bool given = options.kind == FeatureKind::given;
    const DataFolder folder = read_data_folder(data, {.features = given, .on_bad = BadSample::skip});
    int drawn = 0;
    for (const Utterance& utterance : folder.utterances) {
      if (drawn == draw) break;
      const auto made = std::find_if(set.utterances.begin(), set.utterances.end(),
                                     [&](const UtteranceFeatures& one) { return one.id == utterance.id; });
      if (made == set.utterances.end()) continue;
      const FeatureMatrix features = given ? read_features(utterance, options.cepstra) : hear(utterance, picture);
      std::string title = utterance.id + ":";
      for (const std::string& word : utterance.words) title += " " + word;
      std::string name = utterance.id;
      std::replace(name.begin(), name.end(), '/', '_');
      write_file(svg + "/" + name + ".svg",
                 draw_spectrogram(features, {.title = title, .frame_shift_ms = options.frame_shift_ms}));
      ++drawn;
    }
  }

  static FeatureMatrix hear(const Utterance& utterance, const FeatureOptions& picture) {
    const Audio audio = read_audio_of(utterance, picture.sample_rate);
    return FeatureExtractor(picture).compute(audio.samples);
  }

  void show(const FeatureSet& set, double seconds) const {
    for (const std::string& what : set.left_out.named) {
      fmt::print(stderr, "{}\n", printable("left out: " + what));
    }
    for (const std::string& line : set.doubts()) fmt::print(stderr, "{}\n", printable(line));
    const auto utterances = static_cast<std::int64_t>(set.utterances.size());
    if (json) {
      const nlohmann::ordered_json line{
          {"folder", out},     {"utterances", utterances},           {"frames", set.frames()},
          {"dim", set.dim},    {"audio_seconds", set.audio_seconds}, {"left_out", set.left_out.count},
          {"seconds", seconds}};
      fmt::print("{}\n", line.dump());
      return;
    }
    const auto count = [](std::int64_t number) { return format_count(static_cast<double>(number)); };
    fmt::print("{}: {} utterances, {} frames of {} numbers", out, count(utterances), count(set.frames()), set.dim);
    if (set.audio_seconds > 0) {
      fmt::print("; {} of audio in {:.1f} s", format_seconds(set.audio_seconds), seconds);
    }
    if (set.left_out.count > 0) fmt::print("; {} left out", count(set.left_out.count));
    fmt::print("\n");
  }
};

}  // namespace

void add_speech_features(CLI::App& speech) {
  CLI::App* verb = speech.add_subcommand("features", "Features of a data folder: recordings, or features to normalise");
  auto command = std::make_shared<SpeechFeaturesCommand>();
  verb->add_option("data", command->data, "A data folder as Kaldi has it: wav.scp or feats.scp, text, utt2spk")
      ->required();
  verb->add_option("--out", command->out, "The folder that they go to: feats.ark, feats.scp, text, utt2spk")
      ->required();
  verb->add_option("--recipe", command->recipe, "Its sections features and augment say how (default: MFCC of 16 kHz)");
  verb->add_option("--set", command->sets, "Override a key of the recipe, for example --set features.kind=fbank")
      ->take_all()
      ->expected(1);
  verb->add_flag("--skip-bad", command->skip, "Leave bad utterances out, instead of failing");
  verb->add_option("--threads", command->threads, "0: all cores")->check(CLI::Range(0, 1024))->capture_default_str();
  verb->add_option("--svg", command->svg, "A folder for drawings of the first utterances");
  verb->add_option("--draw", command->draw, "How many of them")->check(CLI::Range(1, 10000))->capture_default_str();
  verb->add_flag("--json", command->json, "A line of JSON instead of a sentence");
  verb->footer("Example: hadal speech features data/test --out features/test --set features.kind=fbank");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
