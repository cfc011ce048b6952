#include "speech/make_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/printable.h"
#include "base/thousands.h"
#include "speech/archive.h"
#include "speech/audio_file.h"
#include "speech/augment.h"
#include "speech/feature_extractor.h"
#include "speech/normalise.h"
#include "speech/recording_check.h"
#include "speech/tasks.h"

namespace hadal {

namespace {

void check_job(const FeatureJob& job) {
  const FeatureOptions& features = job.features;
  constexpr FeatureLimits kMost = kFeatureLimits;
  if (features.deltas < 0 || features.deltas > kMost.most_deltas) {
    throw ConfigError(fmt::format("features.deltas: {} is not from 0 to {}", features.deltas, kMost.most_deltas));
  }
  if (features.delta_window < kMost.least_window || features.delta_window > kMost.most_window) {
    throw ConfigError(fmt::format("features.delta_window: {} is not from {} to {}", features.delta_window,
                                  kMost.least_window, kMost.most_window));
  }
  check(job.augment);
  if (job.augment.copies > 0 && features.kind == FeatureKind::given) {
    throw ConfigError("augment.copies: recordings are changed, and features.kind 'given' has none; set it to 0");
  }
}

// Of an original.
struct HeardRecording {
  double seconds = 0;
  bool silent = false, cancelled = false;
};

// One of the threads that make features. It keeps the recording that it read last: segments of one follow each other.
class FeatureMaker {
 public:
  FeatureMaker(const FeatureJob& job, const FeatureExtractor* extractor) : job_(job), extractor_(extractor) {}

  // With deltas, not normalised.
  FeatureMatrix make(const Utterance& utterance, int copy, HeardRecording& heard) {
    FeatureMatrix features =
        extractor_ == nullptr ? read_features(utterance, job_.features.cepstra) : hear(utterance, copy, heard);
    for (const float value : features.values) {
      if (!std::isfinite(value)) {
        throw DataError(
            fmt::format("{}: the features of '{}' are not all finite numbers", utterance.file, utterance.id));
      }
    }
    if (features.frames == 0) {
      const std::string size =
          extractor_ == nullptr ? "no frames" : fmt::format("{:.3f} s, less than a frame", heard.seconds);
      throw DataError(fmt::format("{}: '{}' has {}", utterance.file, utterance.id, size));
    }
    const FeatureOptions& options = job_.features;
    return options.deltas > 0 ? add_deltas(features, options.deltas, options.delta_window) : features;
  }

 private:
  FeatureMatrix hear(const Utterance& utterance, int copy, HeardRecording& heard) {
    if (file_ != utterance.file) {
      file_.clear();
      audio_ = read_audio(utterance.file, job_.features.sample_rate, utterance.where);
      file_ = utterance.file;
    }
    const std::span<const float> samples = part_of(audio_, utterance);
    heard.seconds = static_cast<double>(samples.size()) / audio_.rate;
    if (copy == 0) {
      heard.silent = check_recording(samples, audio_.rate).is_silent();
      heard.cancelled = audio_.cancelled;
      return extractor_->compute(samples);
    }
    return extractor_->compute(
        augment(samples, audio_.rate, job_.augment, {job_.seed, static_cast<std::uint32_t>(copy), utterance.id}));
  }

  const FeatureJob& job_;
  const FeatureExtractor* extractor_;  // none: features are given
  std::string file_;
  Audio audio_;
};

// What became of one utterance, in one copy.
struct MadeFeatures {
  FeatureMatrix features;
  HeardRecording heard;
  std::exception_ptr error;
};

// Makes all, in any order. Where one is bad and none may be, those before it are made and the others are not.
std::vector<MadeFeatures> make_all(const DataFolder& folder, const FeatureJob& job) {
  const std::size_t count = folder.utterances.size();
  std::vector<MadeFeatures> made(count * (static_cast<std::size_t>(job.augment.copies) + 1));
  std::optional<FeatureExtractor> extractor;
  if (job.features.kind != FeatureKind::given) extractor.emplace(job.features);
  std::atomic<std::size_t> first_bad{made.size()};  // that ends all: what comes before it is still made
  std::mutex telling;
  std::int64_t done = 0;
  const auto all = static_cast<std::int64_t>(made.size());
  const auto make_one = [&](FeatureMaker& maker, std::int64_t task) {
    const auto i = static_cast<std::size_t>(task);
    if (i > first_bad) return;
    try {
      made[i].features = maker.make(folder.utterances[i % count], static_cast<int>(i / count), made[i].heard);
    } catch (const Error&) {
      made[i].error = std::current_exception();
      const bool fatal = job.on_bad == BadSample::fail && i < count;  // no copy is
      for (std::size_t known = first_bad; fatal && i < known && !first_bad.compare_exchange_weak(known, i);) {
      }
    }
    if (!job.progress) return;
    const std::lock_guard lock(telling);
    job.progress(++done, all);
  };
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  run_tasks(
      job.threads > 0 ? job.threads : cores, all, [&] { return FeatureMaker(job, extractor ? &*extractor : nullptr); },
      make_one);
  return made;
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    return known.what();
  }
}

// Statistics of each speaker or of each utterance, by what `mode` says.
void normalise(std::vector<UtteranceFeatures>& utterances, Normalise mode, bool mean, bool variance) {
  if (mode == Normalise::none) return;
  std::map<std::string, FrameStatistics> statistics;
  const auto group = [&](const UtteranceFeatures& utterance) -> const std::string& {
    return mode == Normalise::speaker ? utterance.speaker : utterance.id;
  };
  for (const UtteranceFeatures& utterance : utterances) statistics[group(utterance)].add(utterance.features);
  for (UtteranceFeatures& utterance : utterances) {
    statistics[group(utterance)].apply(utterance.features, mean, variance);
  }
}

// Copies are found by their names, and normalised by those of their speakers: none may be the name of something else.
void check_copy_names(const DataFolder& folder, int copies) {
  std::set<std::string> ids, speakers;
  for (const Utterance& utterance : folder.utterances) {
    ids.insert(utterance.id);
    speakers.insert(utterance.speaker);
  }
  const auto refuse_taken = [&](const Utterance& utterance, const char* what, const std::string& name,
                                const std::set<std::string>& taken) {
    for (int copy = 1; copy <= copies; ++copy) {
      if (!taken.contains(copy_name(name, copy))) continue;
      throw ConfigError(utterance.where,
                        printable(fmt::format("augment.copies: copy {} of the {} '{}' would be called '{}', as "
                                              "another {} is; rename it in the data folder, or use copies: {}",
                                              copy, what, name, copy_name(name, copy), what, copy - 1)));
    }
  };
  for (const Utterance& utterance : folder.utterances) {
    refuse_taken(utterance, "utterance", utterance.id, ids);
    refuse_taken(utterance, "speaker", utterance.speaker, speakers);
  }
}

// The utterances that are good, in their order.
void collect(FeatureSet& set, const DataFolder& folder, std::vector<MadeFeatures> made, BadSample on_bad) {
  for (std::size_t i = 0; i < made.size(); ++i) {
    const Utterance& utterance = folder.utterances[i % folder.utterances.size()];
    const int copy = static_cast<int>(i / folder.utterances.size());
    FeatureMatrix& features = made[i].features;
    if (!made[i].error && set.dim != 0 && features.dim != set.dim) {
      made[i].error =
          std::make_exception_ptr(DataError(fmt::format("{}: '{}' has {} numbers a frame, and those before it have {}",
                                                        utterance.file, utterance.id, features.dim, set.dim)));
    }
    if (made[i].error) {
      if (on_bad == BadSample::fail && copy == 0) std::rethrow_exception(made[i].error);
      set.left_out.add(message_of(made[i].error));
      continue;
    }
    set.dim = features.dim;
    if (copy == 0) set.audio_seconds += made[i].heard.seconds;
    const std::string name = fmt::format("{}: {}", utterance.id, utterance.file);
    if (made[i].heard.silent) set.silent.add(name);
    if (made[i].heard.cancelled) set.cancelled.add(name);
    set.utterances.push_back({copy_name(utterance.id, copy), copy_name(utterance.speaker, copy), utterance.id, copy,
                              utterance.words, std::move(features)});
  }
}

FeatureSet features_of_folder(const DataFolder& folder, const FeatureJob& job) {
  check_copy_names(folder, job.augment.copies);
  FeatureSet set;
  set.frame_shift_ms = job.features.frame_shift_ms;
  set.has_text = folder.has_text;
  set.left_out = folder.left_out;
  collect(set, folder, make_all(folder, job), job.on_bad);
  if (set.utterances.empty()) {
    throw DataError(fmt::format("{}: no utterance is left; the first: {}", folder.path, set.left_out.named.at(0)));
  }
  const FeatureOptions& options = job.features;
  if (options.mean == options.variance) {
    normalise(set.utterances, options.mean, true, true);
  } else {
    normalise(set.utterances, options.mean, true, false);
    normalise(set.utterances, options.variance, false, true);
  }
  return set;
}

}  // namespace

std::string copy_name(const std::string& name, int copy) {
  return copy == 0 ? name : fmt::format("{}-copy{}", name, copy);
}

std::int64_t FeatureSet::frames() const {
  std::int64_t sum = 0;
  for (const UtteranceFeatures& utterance : utterances) sum += utterance.features.frames;
  return sum;
}

std::vector<std::string> FeatureSet::doubts() const {
  std::vector<std::string> lines;
  const auto tell = [&](const LeftOut& list, const char* one, const char* many) {
    if (list.count == 0) return;
    lines.push_back(
        list.count == 1 ? one : fmt::format("{} {}", with_thousands(static_cast<std::uint64_t>(list.count)), many));
    for (const std::string& name : list.named) lines.push_back("  " + name);
    if (const std::int64_t more = list.count - std::ssize(list.named); more > 0) {
      lines.push_back(fmt::format("  and {} more", with_thousands(static_cast<std::uint64_t>(more))));
    }
  };
  tell(silent, "a recording seems to hold no speech (silent, or as loud all the time), and is used as it is",
       "recordings seem to hold no speech (silent, or as loud all the time), and are used as they are");
  tell(cancelled, "a recording's channels cancel each other: the first is used alone",
       "recordings' channels cancel each other: the first is used alone");
  return lines;
}

FeatureSet make_features(const std::string& folder, const FeatureJob& job) {
  check_job(job);
  const DataFolder data = read_data_folder(
      folder,
      {.features = job.features.kind == FeatureKind::given, .needs_text = job.needs_text, .on_bad = job.on_bad});
  return features_of_folder(data, job);
}

FeatureMatrix features_of_audio(std::span<const float> samples, const FeatureOptions& options) {
  return finish_utterance(FeatureExtractor(options).compute(samples), options);
}

void write_feature_folder(const std::string& folder, const FeatureSet& features) {
  create_folders(folder);
  std::string text, speakers;
  ArchiveWriter writer(folder + "/feats.ark", folder + "/feats.scp", "feats.ark");
  for (const UtteranceFeatures& utterance : features.utterances) {
    writer.write(utterance.id, utterance.features);
    speakers += fmt::format("{} {}\n", utterance.id, utterance.speaker);
    text += utterance.id;
    for (const std::string& word : utterance.words) text += " " + word;
    text += '\n';
  }
  writer.commit();
  write_file(folder + "/utt2spk", speakers);
  if (features.has_text) write_file(folder + "/text", text);
  write_file(folder + "/frame_shift", fmt::format("{}\n", features.frame_shift_ms / 1000));
}

FeatureSet read_feature_folder(const std::string& folder, BadSample on_bad) {
  FeatureJob job;
  job.features = {.kind = FeatureKind::given, .deltas = 0, .mean = Normalise::none, .variance = Normalise::none};
  job.on_bad = on_bad;
  return make_features(folder, job);
}

}  // namespace hadal
