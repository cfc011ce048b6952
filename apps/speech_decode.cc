// hadal speech decode: the words of recordings.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/job_flags.h"
#include "apps/verbs.h"
#include "base/file.h"
#include "base/printable.h"
#include "speech/audio_file.h"
#include "speech/recognition_score.h"
#include "speech/recording_check.h"
#include "speech/spectrogram_svg.h"
#include "train/host.h"

namespace hadal {

namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kDrawnBins = 40;  // mel filters of a drawing

struct Heard {
  RecognisedUtterance utterance;
  std::vector<std::string> notes;
  bool silent = false;
};

ordered_json to_json(const std::string& name, const Heard& heard) {
  ordered_json json{{"input", printable(name)}, {"words", ordered_json::array()}};
  for (const RecognisedWord& word : heard.utterance.words) {
    json["words"].push_back(
        {{"word", word.word}, {"begin", word.begin}, {"end", word.end}, {"confidence", word.confidence}});
  }
  json["audio_seconds"] = heard.utterance.audio_seconds;
  json["real_time_factor"] =
      heard.utterance.audio_seconds > 0 ? heard.utterance.seconds / heard.utterance.audio_seconds : 0;
  if (!heard.notes.empty()) json["notes"] = heard.notes;
  return json;
}

std::string sentence(const RecognisedUtterance& utterance) {
  std::string text;
  for (const RecognisedWord& word : utterance.words) text += " " + word.word;
  return text;
}

struct SpeechDecodeCommand {
  std::string run_folder, data, svg, model = "network";
  std::vector<std::string> files;
  bool json = false;

  void run() const {
    if (files.empty() && data.empty()) {
      throw ConfigError("speech decode: nothing to recognise: name recordings, or a data folder with --data DATA");
    }
    if (!files.empty() && !data.empty()) {
      throw ConfigError("speech decode: takes either recordings or a data folder; leave out --data " + data +
                        ", or the recordings, " + files[0] + (files.size() > 1 ? ", ..." : ""));
    }
    if (!svg.empty() && files.size() != 1) throw ConfigError("--svg draws one recording: name one FILE.wav");
    const RecipeRun folder(run_folder);
    SpeechModel speech(folder, model == "gmm" ? AcousticKind::gmm : AcousticKind::network);
    if (!data.empty()) return decode_folder(speech);
    if (speech.recipe().features.kind == FeatureKind::given) {
      throw ConfigError(run_folder +
                        ": was trained on features that were given, and these cannot be made of recordings; "
                        "name a data folder that has feats.scp with --data");
    }
    decode_files(speech);
  }

  // All of them; what is bad about some is told, and is an error at the end.
  void decode_files(SpeechModel& speech) const {
    if (files.size() == 1) return decode_file(speech, files[0]);
    std::size_t bad = 0;
    int exit_code = 0;
    for (const std::string& file : files) {
      try {
        decode_file(speech, file);
      } catch (const Error& error) {
        if (error.exit_code() != ConfigError("").exit_code() && error.exit_code() != DataError("").exit_code()) throw;
        std::fflush(stdout);
        fmt::print(stderr, "hadal: {}\n", printable(error.what()));
        ++bad;
        exit_code = std::max(exit_code, error.exit_code());
      }
    }
    if (bad == 0) return;
    throw Error(exit_code, fmt::format("{} of {} recordings could not be recognised", bad, files.size()));
  }

  void decode_file(SpeechModel& speech, const std::string& file) const {
    const FeatureOptions& options = speech.recipe().features;
    Audio audio = read_audio(file, 0);  // clipping does not show at another rate
    const RecordingCheck check = check_recording(audio.samples, audio.rate);
    if (audio.rate != options.sample_rate) {
      audio = {};  // an hour of both would be large
      audio = read_audio(file, options.sample_rate);
    }
    const Heard heard = hear(speech, file, audio, check);
    if (json) {
      fmt::print("{}\n", to_json(file, heard).dump());
    } else {
      print(file, heard);
    }
    if (!svg.empty()) draw(audio, options, file, heard);
  }

  static Heard hear(SpeechModel& speech, const std::string& file, const Audio& audio, const RecordingCheck& check) {
    const FeatureOptions& options = speech.recipe().features;
    Heard heard;
    if (check.is_clipped()) {
      heard.notes.push_back(
          fmt::format("{:.1f} % of the samples are cut off: record it less loud", 100 * check.clipped));
    }
    if (audio.cancelled) heard.notes.push_back("its channels cancel each other: the first is used alone");
    heard.utterance.audio_seconds = static_cast<double>(audio.samples.size()) / audio.rate;
    heard.silent = check.is_silent();
    if (heard.silent) {
      heard.notes.push_back("no speech");
      return heard;
    }
    const FeatureMatrix features = features_of_audio(audio.samples, options);
    if (features.frames == 0) {
      throw DataError(fmt::format("{}: has {:.3f} s, less than a frame of {} ms", file, heard.utterance.audio_seconds,
                                  options.frame_length_ms));
    }
    heard.utterance = speech.recognise(features);
    if (!heard.utterance.complete) heard.notes.push_back("the search lost its way: a larger decode.beam may help");
    if (heard.utterance.words.empty()) heard.notes.push_back("no speech");
    return heard;
  }

  static void print(const std::string& file, const Heard& heard) {
    fmt::print("{}:{}\n", printable(file), sentence(heard.utterance));
    for (const RecognisedWord& word : heard.utterance.words) {
      fmt::print("  {:>7.2f} - {:<7.2f} {:<20} {:>5.1f} %\n", word.begin, word.end, word.word, 100 * word.confidence);
    }
    for (const std::string& note : heard.notes) fmt::print("  ({})\n", note);
  }

  void draw(const Audio& audio, const FeatureOptions& options, const std::string& file, const Heard& heard) const {
    FeatureOptions drawn = options;
    drawn.kind = FeatureKind::fbank;
    drawn.mel_bins = kDrawnBins;
    drawn.use_energy = false;
    drawn.deltas = 0;
    drawn.mean = drawn.variance = Normalise::none;
    SpectrogramOptions picture;
    picture.title = file;
    picture.frame_shift_ms = options.frame_shift_ms;
    const auto frame = [&](double seconds) { return std::llround(seconds * 1000 / options.frame_shift_ms); };
    for (const RecognisedWord& word : heard.utterance.words) {
      picture.words.push_back({frame(word.begin), std::max(frame(word.begin), frame(word.end) - 1), word.word});
    }
    write_file(svg, draw_spectrogram(features_of_audio(audio.samples, drawn), picture));
  }

  void decode_folder(SpeechModel& speech) const {
    const Recipe& recipe = speech.recipe();
    const int threads = describe_host().cores;
    FeatureJob job;
    job.features = recipe.features;
    job.seed = recipe.seed();
    job.on_bad = recipe.data.on_bad_utterance;
    job.threads = threads;
    const FeatureSet set = make_features(data, job);
    for (const std::string& what : set.left_out.named) fmt::print(stderr, "{}\n", printable("left out: " + what));
    if (const std::int64_t more = set.left_out.count - std::ssize(set.left_out.named); more > 0) {
      fmt::print(stderr, "left out: {} more\n", more);
    }
    for (const std::string& line : set.doubts()) fmt::print(stderr, "{}\n", printable(line));
    const std::vector<RecognisedUtterance> recognised = speech.recognise(set.utterances, threads);
    for (std::size_t i = 0; i < recognised.size(); ++i) {
      if (json) {
        fmt::print("{}\n", to_json(set.utterances[i].id, {recognised[i], {}}).dump());
      } else {
        fmt::print("{}{}\n", set.utterances[i].id, sentence(recognised[i]));
      }
    }
    if (!set.has_text || json) return;
    const RecognitionScore score = score_recognition(set.utterances, recognised);
    if (score.all.words == 0) {
      fmt::print(stderr, "{}: its text has no words, so there is nothing to score\n", printable(data));
      return;
    }
    fmt::print(stderr,
               "{} of {} words are wrong, {:.2f} % (95 %: {:.2f} to {:.2f}); {} substituted, {} deleted, {} "
               "inserted; {:.3f} s a second of audio\n",
               score.all.errors(), score.all.words, 100 * score.all.rate(), 100 * score.interval.low,
               100 * score.interval.high, score.all.substitutions, score.all.deletions, score.all.insertions,
               score.real_time_factor());
  }
};

}  // namespace

void add_speech_decode(CLI::App& speech) {
  CLI::App* verb = speech.add_subcommand("decode", "The words of recordings, with their times and how sure they are");
  auto command = std::make_shared<SpeechDecodeCommand>();
  verb->add_option("run", command->run_folder, "The folder of a run of 'hadal speech train'")->required();
  verb->add_option("files", command->files, "Recordings: WAV or FLAC, of any rate");
  verb->add_option("--data", command->data, "A Kaldi data folder instead")->check(not_empty());
  verb->add_option("--model", command->model, "network or gmm")
      ->check(CLI::IsMember({"network", "gmm"}))
      ->capture_default_str();
  verb->add_flag("--json", command->json, "A JSON line for each recording");
  verb->add_option("--svg", command->svg, "Draw the recording with its words into this file")->check(not_empty());
  verb->footer("Example: hadal speech decode runs/espeak hello.wav");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
