#pragma once
// The features of all utterances of a data folder.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "speech/data_folder.h"
#include "speech/feature_matrix.h"
#include "speech/feature_options.h"

namespace hadal {

// What a changed copy of an utterance or of a speaker is called; copy 0 is the original.
std::string copy_name(const std::string& name, int copy);

struct UtteranceFeatures {
  std::string id, speaker;         // of a copy: ID-copyN, SPEAKER-copyN
  std::string source;              // the id of the utterance that it is a copy of, else its own
  int copy = 0;                    // 0: the original
  std::vector<std::string> words;  // empty where the folder has no text
  FeatureMatrix features;          // with deltas, normalised
};

struct FeatureSet {
  std::int64_t dim = 0;
  double frame_shift_ms = 10;
  bool has_text = false;
  std::vector<UtteranceFeatures> utterances;  // of the folder's order: all originals, then all first copies, ...
  double audio_seconds = 0;                   // of originals; 0 where features were given
  LeftOut left_out;                           // of BadSample::skip, the folder's included
  LeftOut silent, cancelled;  // recordings that are used, but seem to hold no speech; whose channels cancel each other

  std::int64_t frames() const;
  std::vector<std::string> doubts() const;  // lines about `silent` and `cancelled`: how many, and the first ten
};

struct FeatureJob {
  FeatureOptions features;
  AugmentOptions augment;  // copies > 0 needs audio
  std::uint64_t seed = 0;  // of augmentation
  BadSample on_bad = BadSample::fail;
  bool needs_text = false;
  int threads = 0;  // 0: the cores of this machine
  // Called now and then, by one thread at a time: utterances that are done, of how many.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

// The same to the bit whatever the threads. Throws ConfigError or DataError of the first bad utterance, by the
// folder's order, where they are not left out: a file that cannot be read, one that is shorter than a frame, features
// of another width or that are not finite. Throws ConfigError where a copy would have the name of an utterance or a
// speaker that is there.
FeatureSet make_features(const std::string& folder, const FeatureJob& job);

// Features of one recording as make_features has them, normalised by itself. `rate` is options.sample_rate.
FeatureMatrix features_of_audio(std::span<const float> samples, const FeatureOptions& options);

// A data folder of features that are ready: feats.ark, feats.scp (with paths relative to it), text where there are
// words, utt2spk. Overwrites these files. Throws StorageError.
void write_feature_folder(const std::string& folder, const FeatureSet& features);

// What write_feature_folder wrote, or any data folder with feats.scp: features as they are in its files.
FeatureSet read_feature_folder(const std::string& folder, BadSample on_bad = BadSample::fail);

}  // namespace hadal
