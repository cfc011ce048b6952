#include "speech/recipe_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/printable.h"
#include "base/thousands.h"
#include "speech/alignment_file.h"
#include "speech/gaussian_training.h"
#include "speech/held_out.h"
#include "speech/network_alignment.h"
#include "speech/network_model.h"
#include "speech/recognition_score.h"
#include "speech/run_files.h"
#include "speech/tuning.h"

namespace hadal {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::uint64_t kLexiconLimit = 1 << 30;  // bytes
const std::vector<std::string> kTrainParts{"train", "held_out"};

std::string count_text(std::size_t number) { return with_thousands(number); }

std::size_t speakers_in(const FeatureSet& set) {
  std::set<std::string> speakers;
  for (const UtteranceFeatures& utterance : set.utterances) speakers.insert(utterance.speaker);
  return speakers.size();
}

ordered_json to_json(const GmmIteration& iteration) {
  return {{"stage", iteration.stage},           {"iteration", iteration.iteration},
          {"states", iteration.states},         {"gaussians", iteration.gaussians},
          {"frames", iteration.frames},         {"log_likelihood", iteration.log_likelihood},
          {"aligned_before", iteration.aligned}};
}

// Marks the changed copies (make_features.h), which a folder of features names only.
void mark_copies(FeatureSet& set, int copies) {
  std::set<std::string> ids;
  for (const UtteranceFeatures& utterance : set.utterances) ids.insert(utterance.id);
  for (UtteranceFeatures& utterance : set.utterances) {
    const std::size_t mark = utterance.id.rfind("-copy");
    if (mark == std::string::npos || !ids.contains(utterance.id.substr(0, mark))) continue;
    for (int copy = 1; copy <= copies; ++copy) {
      if (utterance.id.substr(mark) != fmt::format("-copy{}", copy)) continue;
      utterance.copy = copy;
      utterance.source = utterance.id.substr(0, mark);
    }
  }
}

// A run that is called or lies elsewhere is the same.
std::string without(std::string text, const std::string& part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) text.erase(at, part.size());
  return text;
}

std::string without_slash(const std::string& folder) {
  std::string path = fs::path(folder).lexically_normal();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// Nothing is written into other folders that have a meaning.
void check_is_run(const RecipeRun& run) {
  for (const char* file : {"wav.scp", "feats.scp", "job.yaml"}) {
    if (!is_there(run.path() + "/" + file)) continue;
    throw ConfigError(
        fmt::format("{}: has a {}, so it is no folder of a recipe's run; name another with --out", run.path(), file));
  }
}

}  // namespace

RecipeTraining::RecipeTraining(const Recipe& recipe, const RecipeTrainingOptions& options)
    : recipe_(recipe),
      options_(options),
      run_(without_slash(options.out)),
      folder_(run_.path()),
      log_((check_is_run(run_), folder_.lock(), run_.stages())) {}

std::string RecipeTraining::key_of(const std::string& stage, std::vector<std::string> inputs) const {
  inputs.push_back(stage);
  return stage_key(inputs);
}

void RecipeTraining::check_stop() const {
  if (options_.stop != nullptr && *options_.stop) throw Stopped("stopped; the same command goes on");
}

void RecipeTraining::tell_left_out(const std::string& what, const LeftOut& left_out) const {
  if (left_out.count == 0) return;
  options_.notice(fmt::format("{}: {} left out", what,
                              left_out.count == 1
                                  ? std::string("an utterance is")
                                  : count_text(static_cast<std::size_t>(left_out.count)) + " utterances are"));
  for (const std::string& name : left_out.named) options_.notice("  left out: " + name);
}

const FeatureSet& RecipeTraining::part(const std::string& name) {
  const auto known = parts_.find(name);
  if (known != parts_.end()) return known->second;
  FeatureSet set;
  if (is_there(run_.features(name))) set = read_feature_folder(run_.features(name));
  mark_copies(set, recipe_.augment.copies);
  return parts_.emplace(name, std::move(set)).first->second;
}

void RecipeTraining::make_features() {
  const Lexicon lexicon = Lexicon::read(recipe_.lexicon, recipe_.lexicon_where);  // what later stages need is there
  if (!recipe_.language.arpa.empty()) static_cast<void>(NgramModel::read(recipe_.language.arpa));
  std::vector<std::string> transcripts{recipe_.data.train + "/text"};
  if (!recipe_.data.extra.empty()) transcripts.push_back(extra_transcripts());
  for (const std::string& file : transcripts) {
    if (recipe_.data.on_bad_utterance == BadSample::fail) check_words(file, lexicon);
  }
  places_ = TranscriptPlaces(transcripts);
  std::vector<std::string> inputs{identity(recipe_, {"features", "augment", "data", "seed"}),
                                  data_fingerprint(recipe_.data.train)};
  for (const std::string& folder : {recipe_.data.extra, recipe_.data.test}) {
    if (!folder.empty()) inputs.push_back(data_fingerprint(folder));
  }
  const std::string key = keys_["features"] = key_of("features", inputs);
  if (log_.is_done("features", key)) return write_file(run_.recipe(), to_yaml(recipe_));
  FeatureJob job;
  job.features = recipe_.features;
  job.augment = recipe_.augment;
  job.seed = recipe_.seed();
  job.on_bad = recipe_.data.on_bad_utterance;
  job.needs_text = true;
  job.threads = options_.threads;
  const auto make = [&](const std::string& folder) {
    job.progress = [&](std::int64_t done, std::int64_t all) {
      check_stop();
      options_.progress("features of " + folder, done, all);
    };
    FeatureSet made = hadal::make_features(folder, job);
    tell_left_out(folder, made.left_out);
    for (const std::string& line : made.doubts()) options_.notice(line.starts_with(' ') ? line : folder + ": " + line);
    return made;
  };
  if (!recipe_.data.extra.empty()) check_extra();
  FeatureSet train = make(recipe_.data.train), extra, test;
  const auto make_beside = [&](const std::string& folder) {
    FeatureSet made = make(folder);
    if (made.dim == train.dim) return made;
    throw DataError(fmt::format("{}: its features are {} numbers a frame, and those of {} are {}", folder, made.dim,
                                recipe_.data.train, train.dim));
  };
  if (!recipe_.data.extra.empty()) extra = make_beside(recipe_.data.extra);
  if (!recipe_.data.test.empty()) {
    job.augment = {};
    job.needs_text = false;
    test = make_beside(recipe_.data.test);
  }
  tell_shared_speakers(recipe_.data.train, train, test);
  tell_shared_speakers(recipe_.data.extra, extra, test);
  tell_unknown_words(test, lexicon);
  const FeatureSet held_out = take_held_out(train, recipe_.data.held_out, recipe_.seed());
  std::ranges::move(extra.utterances, std::back_inserter(train.utterances));
  // Until here what the folder held before is as it was.
  write_file(run_.recipe(), to_yaml(recipe_));
  log_.begin("features", key);
  remove_all(run_.path() + "/features");
  std::vector<std::string> made;
  const auto keep = [&](const std::string& name, const FeatureSet& set) {
    if (set.utterances.empty()) return;
    made.push_back(run_.features(name));
    write_feature_folder(made.back(), set);
    options_.notice(fmt::format("features: {}: {} utterances of {} speakers, {} frames of {} numbers", name,
                                count_text(set.utterances.size()), count_text(speakers_in(set)),
                                with_thousands(static_cast<std::uint64_t>(set.frames())), set.dim));
  };
  keep("train", train);
  keep("held_out", held_out);
  keep("test", test);
  log_.end("features", key, made);
}

// Speakers of both could be held out and trained on. Told before anything is computed.
void RecipeTraining::check_extra() const {
  const auto read = [&](const std::string& folder) {
    return read_data_folder(folder, {.features = recipe_.features.kind == FeatureKind::given,
                                     .needs_text = true,
                                     .on_bad = recipe_.data.on_bad_utterance});
  };
  std::set<std::string> ids, speakers;
  for (const Utterance& utterance : read(recipe_.data.train).utterances) {
    for (int copy = 0; copy <= recipe_.augment.copies; ++copy) {
      ids.insert(copy_name(utterance.id, copy));
      speakers.insert(copy_name(utterance.speaker, copy));
    }
  }
  for (const Utterance& utterance : read(recipe_.data.extra).utterances) {
    const auto refuse_taken = [&](const char* what, const std::string& name, const std::set<std::string>& taken) {
      for (int copy = 0; copy <= recipe_.augment.copies; ++copy) {
        if (!taken.contains(copy_name(name, copy))) continue;
        throw ConfigError(utterance.where,
                          printable(fmt::format("data.extra: the {} '{}' is in {} too, or a copy of it is called so; "
                                                "rename it here, or, if it is the same, take it out of one of them",
                                                what, name, recipe_.data.train)));
      }
    };
    refuse_taken("utterance", utterance.id, ids);
    refuse_taken("speaker", utterance.speaker, speakers);
  }
}

// What its word errors cannot say.
void RecipeTraining::tell_shared_speakers(const std::string& folder, const FeatureSet& trained,
                                          const FeatureSet& test) const {
  std::set<std::string> speakers, both;
  for (const UtteranceFeatures& utterance : trained.utterances) speakers.insert(utterance.speaker);
  for (const UtteranceFeatures& utterance : test.utterances) {
    if (speakers.contains(utterance.speaker)) both.insert(utterance.speaker);
  }
  if (both.empty()) return;
  options_.notice(
      fmt::format("{}: has speakers of {} too ({}, for example '{}'): its word errors are not those of voices that "
                  "were never heard",
                  recipe_.data.test, folder, both.size(), *both.begin()));
}

void RecipeTraining::tell_unknown_words(const FeatureSet& test, const Lexicon& lexicon) const {
  std::size_t words = 0, unknown = 0;
  for (const UtteranceFeatures& utterance : test.utterances) {
    words += utterance.words.size();
    for (const std::string& word : utterance.words) unknown += lexicon.word(word) ? 0 : 1;
  }
  if (unknown == 0) return;
  options_.notice(fmt::format("{}: {} of {} words are not in {}: each of them will be an error", recipe_.data.test,
                              count_text(unknown), count_text(words), recipe_.lexicon));
}

void RecipeTraining::train_gmm() {
  const std::string lexicon_text = read_file(recipe_.lexicon, kLexiconLimit, recipe_.lexicon_where);
  const std::string key = keys_["gmm"] =
      key_of("gmm", {keys_.at("features"), lexicon_text,
                     identity(recipe_, {"hmm", "gmm", "decode.silence_probability", "data.on_bad_utterance"})});
  if (log_.is_done("gmm", key)) return keep_trained_recipe(run_, AcousticKind::gmm, recipe_);
  const Lexicon lexicon = Lexicon::read(recipe_.lexicon, recipe_.lexicon_where);
  log_.begin("gmm", key);
  create_folders(fs::path(run_.gmm_model()).parent_path());
  const GmmTrainingOptions options{recipe_.hmm, recipe_.gmm, recipe_.decode.options.silence_probability,
                                   recipe_.data.on_bad_utterance, options_.threads};
  LeftOut left_out;
  const BadSample on_bad = recipe_.data.on_bad_utterance;
  const Transcribed train = transcribe(part("train"), lexicon, places_, on_bad, left_out);
  tell_left_out("transcripts", left_out);
  if (train.utterances.empty()) {
    throw DataError(recipe_.data.train + ": no utterance is left to train on; does " + recipe_.lexicon +
                    " have its words?");
  }
  LeftOut of_held_out;
  const Transcribed held_out = transcribe(part("held_out"), lexicon, places_, on_bad, of_held_out);
  if (on_bad == BadSample::fail) {
    std::vector<TrainingUtterance> all = train.utterances;
    all.insert(all.end(), held_out.utterances.begin(), held_out.utterances.end());
    check_lengths(lexicon, all, options);
  }
  MetricsLog iterations(run_.gmm_metrics(), -1);
  const GmmTraining trained = train_gaussians(lexicon, train.utterances, options, [&](const GmmIteration& iteration) {
    check_stop();
    iterations.write(to_json(iteration));
    options_.progress(fmt::format("gmm: {} states, {} Gaussians, log-likelihood {:.3f} a frame ({})", iteration.states,
                                  iteration.gaussians, iteration.log_likelihood, iteration.stage),
                      iteration.iteration, recipe_.gmm.iterations);
  });
  tell_left_out("alignment", trained.left_out);
  trained.model.save(run_.gmm_model());
  write_file(run_.states(), trained.states.to_text(lexicon));
  write_alignments(run_.alignment("train"), train, trained.alignments);
  if (!part("held_out").utterances.empty()) {
    const auto alignments =
        align_utterances(lexicon, trained.states, trained.model, held_out.utterances, options, of_held_out);
    tell_left_out("held-out utterances", of_held_out);
    write_alignments(run_.alignment("held_out"), held_out, alignments);
  }
  write_file(run_.lexicon(), lexicon_text);
  keep_trained_recipe(run_, AcousticKind::gmm, recipe_);
  options_.notice(fmt::format("gmm: {} states, {} Gaussians",
                              with_thousands(static_cast<std::uint64_t>(trained.states.size())),
                              with_thousands(static_cast<std::uint64_t>(trained.model.gaussians()))));
  log_.end("gmm", key,
           {run_.gmm_model(), run_.states(), run_.alignment("train"), run_.alignment("held_out"), run_.lexicon()});
}

void RecipeTraining::make_language() {
  const std::string& arpa = recipe_.language.arpa;
  const std::string text = arpa.empty() ? keys_.at("gmm") : read_file(arpa, kLexiconLimit);
  const std::string key = keys_["language"] = key_of("language", {text, identity(recipe_, {"language"})});
  if (log_.is_done("language", key)) return;
  log_.begin("language", key);
  const Lexicon lexicon = Lexicon::read(run_.lexicon());
  if (!arpa.empty()) {
    static_cast<void>(NgramModel::read(arpa));  // it is one
    write_file(run_.language(), text);
  } else {
    const FeatureSet& train = part("train");
    std::vector<std::vector<std::int32_t>> transcripts;
    LeftOut ignored;
    for (const UtteranceFeatures& utterance : train.utterances) {
      // Extra utterances are there for their sounds: what they say need not be what people say.
      if (utterance.copy > 0 || places_.is_of(utterance.id, extra_transcripts())) continue;
      const auto words = lexicon.words_of(utterance.id, utterance.words, BadSample::skip, ignored);
      if (words) transcripts.push_back(*words);
    }
    write_file(run_.language(), estimate_ngrams(recipe_.language.order, lexicon.words(), transcripts).to_text());
  }
  log_.end("language", key, {run_.language()});
}

// The alignment that a pass is trained on: of the Gaussian mixtures, or of the network before it.
void RecipeTraining::align_for_pass(std::int64_t pass) {
  const std::string frames = run_.frames(pass, recipe_.network.realign);
  const std::string stage = fs::path(frames).filename();  // whatever pass writes there
  const std::string from = pass == 0 ? keys_.at("gmm") : keys_.at(fmt::format("network-{}", pass));
  const std::string key = keys_[fmt::format("frames-{}", pass + 1)] =
      key_of(stage, {from, std::to_string(recipe_.network.realign)});
  if (log_.is_done(stage, key)) return;
  log_.begin(stage, key);
  remove_all(frames);
  create_folders(frames);
  const Lexicon lexicon = Lexicon::read(run_.lexicon());
  const HmmStates states = HmmStates::read(run_.states(), lexicon);
  for (const std::string& name : kTrainParts) {
    const FeatureSet& set = part(name);
    if (set.utterances.empty()) continue;
    const std::string file = frames + "/" + name + ".ali.ark";
    if (pass == 0) {
      copy_file(run_.alignment(name), file);
    } else {
      NetworkModel network(run_.network(pass - 1, recipe_.network.realign), options_.threads);
      LeftOut left_out;
      const Transcribed transcribed = transcribe(set, lexicon, places_, BadSample::skip, left_out);
      const auto alignments = align_by_network(
          lexicon, states, network, transcribed.utterances,
          {recipe_.decode.options.silence_probability, options_.threads, [&](std::int64_t done, std::int64_t all) {
             check_stop();
             options_.progress(fmt::format("alignment {}, of {}", pass + 1, name), done, all);
           }});
      for (std::size_t u = 0; u < alignments.size(); ++u) {
        if (alignments[u]) continue;
        left_out.add(transcribed.utterances[u].name() + ": the network finds no way through its words in its frames");
      }
      tell_left_out(fmt::format("alignment {}, of {}", pass + 1, name), left_out);
      write_alignments(file, transcribed, alignments);
    }
    const Alignments alignments = read_alignments(file, set, states.size());
    if (!alignments.frames.empty()) {
      write_training_frames(frames, name, alignments.frames);
    } else if (name == "train") {
      throw DataError(file + ": no utterance is aligned");
    } else {  // each was named; the network is trained without
      options_.notice("no held-out utterance is aligned: frame errors are not counted");
    }
  }
  log_.end(stage, key, {frames});
}

void RecipeTraining::train_pass(std::int64_t pass) {
  align_for_pass(pass);
  const std::int64_t realign = recipe_.network.realign;
  const std::string frames = run_.frames(pass, realign), stage = fs::path(run_.network(pass, realign)).filename();
  const Lexicon lexicon = Lexicon::read(run_.lexicon());
  const HmmStates states = HmmStates::read(run_.states(), lexicon);
  const Alignments aligned = read_alignments(frames + "/train.ali.ark", part("train"), states.size());
  if (aligned.frames.empty()) {
    throw DataError(frames + "/train.ali.ark: is of none of the utterances of " + run_.features("train") +
                    "; --anew does all stages again");
  }
  NetworkTraining training;
  training.states = states.size();
  training.frames = frames;
  training.held_out = is_there(frames + "/held_out.features.npy");
  training.network = run_.network(pass, realign);
  training.pretrain = recipe_.network.pretrain == Pretrain::rbm;
  training.threads = options_.threads;
  training.notice = options_.notice;
  training.begin = options_.begin;
  training.progress = options_.train_progress;
  training.evaluated = options_.evaluated;
  training.stop = options_.stop;
  const JobSpec job = job_of(recipe_, training, part("train").dim);
  const std::string key = keys_[fmt::format("network-{}", pass + 1)] =
      key_of(stage, {keys_.at(fmt::format("frames-{}", pass + 1)), without(identity(job), run_.path() + "/"),
                     identity(recipe_, {"network.pretrain", "network.rbm", "network.splice"})});
  if (log_.is_done(stage, key)) return;
  training.resume = log_.is_begun(stage, key);
  if (!training.resume) remove_all(training.network);  // before the log says that what lies there is of this key
  log_.begin(stage, key);
  options_.notice(fmt::format("network: training {} of {}, {} frames, {} states", pass + 1, realign + 1,
                              with_thousands(static_cast<std::uint64_t>(aligned.count)), states.size()));
  train_network(recipe_, training, aligned.frames);
  const std::string& network = training.network;
  log_.end(stage, key, {network + "/model.safetensors", network + "/priors.json", network + "/summary.json"});
}

void RecipeTraining::train_networks() {
  for (std::int64_t pass = 0; pass <= recipe_.network.realign; ++pass) train_pass(pass);
  keep_trained_recipe(run_, AcousticKind::network, recipe_);
}

void RecipeTraining::tune(AcousticKind kind) {
  const std::string stage = fmt::format("tune-{}", to_string(kind));
  const std::string model =
      kind == AcousticKind::gmm ? keys_.at("gmm") : keys_.at(fmt::format("network-{}", recipe_.network.realign + 1));
  const std::string key = keys_[stage] = key_of(stage, {model, keys_.at("language"), identity(recipe_, {"decode"})});
  const FeatureSet& held_out = part("held_out");
  if (log_.is_done(stage, key)) return;
  log_.begin(stage, key);
  const std::string tuning = run_.path() + "/decode/" + to_string(kind) + "/tuning.json";
  if (!recipe_.decode.tune || held_out.utterances.empty()) {
    remove_all(run_.decode_options(to_string(kind)));  // what was chosen for another recipe
    remove_all(tuning);
    return;
  }
  const std::vector<Tried> tried = tune_decoding(
      run_, kind, recipe_.decode.options, held_out, options_.threads, [&](std::int64_t done, std::int64_t all) {
        check_stop();
        options_.progress(fmt::format("tuning of the {}", to_string(kind)), done, all);
      });
  const Tried& best = best_of(tried);
  write_chosen_options(run_, kind, best.options);
  ordered_json table = ordered_json::array();
  for (const Tried& one : tried) {
    table.push_back({{"acoustic_scale", one.options.acoustic_scale},
                     {"word_penalty", one.options.word_penalty},
                     {"errors", one.errors.errors()},
                     {"words", one.errors.words}});
  }
  write_file(tuning, table.dump(1) + "\n");
  options_.notice(fmt::format("{}: acoustic_scale {}, word_penalty {}: {} of {} held-out words are wrong",
                              to_string(kind), best.options.acoustic_scale, best.options.word_penalty,
                              best.errors.errors(), best.errors.words));
  log_.end(stage, key, {run_.decode_options(to_string(kind)), tuning});
}

void RecipeTraining::recognise_part(AcousticKind kind, const std::string& name) {
  const FeatureSet& set = part(name);
  const std::string stage = fmt::format("decode-{}-{}", to_string(kind), name);
  const std::string folder = run_.decode(to_string(kind), name);
  const std::string key = keys_[stage] =
      key_of(stage, {keys_.at(fmt::format("tune-{}", to_string(kind))), keys_.at("features")});
  if (log_.is_done(stage, key)) return;
  log_.begin(stage, key);
  remove_all(folder);
  if (set.utterances.empty()) return;
  SpeechModel model(run_, kind);
  const auto recognised = model.recognise(set.utterances, options_.threads, [&](std::int64_t done) {
    check_stop();
    options_.progress(fmt::format("{}: words of {}", to_string(kind), name), done,
                      static_cast<std::int64_t>(set.utterances.size()));
  });
  write_recognised(folder, set.utterances, recognised);
  if (std::ranges::any_of(set.utterances, [](const UtteranceFeatures& one) { return !one.words.empty(); })) {
    const RecognitionScore score = score_recognition(set.utterances, recognised);
    std::optional<Comparison> against_gmm;
    if (kind == AcousticKind::network) {
      const RecognitionScore before = read_score(run_.decode("gmm", name) + "/score.json");
      against_gmm = compare_errors(before.utterances, score.utterances);
    }
    write_file(folder + "/score.json", to_json(score, against_gmm).dump(1) + "\n");
  }
  log_.end(stage, key, {folder});
}

void RecipeTraining::recognise(AcousticKind kind) {
  tune(kind);
  for (const char* name : {"held_out", "test"}) recognise_part(kind, name);
}

ordered_json RecipeTraining::results() const {
  ordered_json results{{"recipe", recipe_.name()}, {"run", run_.path()}};
  for (const char* kind : {"gmm", "network"}) {
    for (const char* name : {"held_out", "test"}) {
      const std::string file = run_.decode(kind, name) + "/score.json";
      if (!is_there(file)) continue;
      ordered_json score = ordered_json::parse(read_file(file, kLexiconLimit));
      score.erase("utterances");
      results[name][kind] = score;
    }
  }
  const ordered_json summary = ordered_json::parse(read_file(run_.network() + "/summary.json", kLexiconLimit));
  if (summary.contains("test")) results["held_out"]["frame_error"] = 1 - summary["test"]["accuracy"].get<double>();
  results["network_sha256"] = summary.at("model_sha256");
  return results;
}

ordered_json RecipeTraining::run() {
  make_features();
  train_gmm();
  make_language();
  recognise(AcousticKind::gmm);
  train_networks();
  recognise(AcousticKind::network);
  ordered_json found = results();
  write_file(run_.path() + "/results.json", found.dump(1) + "\n");
  return found;
}

}  // namespace hadal
