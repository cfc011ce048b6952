#pragma once
// Kaldi's data folders:
//
//   wav.scp    ID FILE               recordings: WAV or FLAC; or
//   feats.scp  ID FILE:OFFSET        features in archives, or ID FILE.mfc: of CMU Sphinx
//   text       ID WORD WORD ...      may be missing
//   utt2spk    ID SPEAKER            may be missing: each utterance is a speaker
//   segments   ID RECORDING BEGIN END     in seconds, may be missing; then IDs of wav.scp are RECORDINGs
//
// A FILE is relative to the folder, or, where there is none, to the working directory, as Kaldi has it. Commands
// ("sox ... |") are not run.

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/sample_source.h"
#include "speech/audio_file.h"
#include "speech/feature_matrix.h"
#include "speech/sphinx_file.h"

namespace hadal {

struct Utterance {
  std::string id, speaker;
  std::vector<std::string> words;
  std::string file;
  std::uint64_t offset = 0;    // of features in an archive
  double begin = 0, end = -1;  // seconds of the recording; end < 0: to its end
  Position where;              // the line of wav.scp or feats.scp (or segments)
};

struct DataFolder {
  std::string path;
  bool has_features = false;          // feats.scp was read, not wav.scp
  bool has_text = false;              // else all words are empty
  std::vector<Utterance> utterances;  // in the order of wav.scp, feats.scp or segments; at least one
  LeftOut left_out;                   // of BadSample::skip
};

struct DataFolderOptions {
  bool features = false;    // feats.scp is read, else wav.scp
  bool needs_text = false;  // utterances without words are bad
  BadSample on_bad = BadSample::fail;
};

// Throws ConfigError where the folder or one of its files is missing or no utterance is left, and where a line is bad
// (FILE:LINE:COLUMN, what it should be): broken, an id twice, a command, a file that is not there, an id of one file
// that is not in the other. With BadSample::skip such lines are left out instead.
DataFolder read_data_folder(const std::string& path, const DataFolderOptions& options);

// The files that wav.scp (or, with `features`, feats.scp) names, where they are found; those that are nowhere as they
// are named. `index` is its text.
std::set<std::string> files_of_index(const std::string& folder, std::string_view index, bool features);

// Throws ConfigError where there is no folder of that name.
void check_data_folder(const std::string& path);

// What feats.scp names; .mfc files have `sphinx_width` numbers a frame. Throws ConfigError or DataError.
FeatureMatrix read_features(const Utterance& utterance, std::int64_t sphinx_width = kSphinxWidth);

// The part of its recording that is the utterance. Throws DataError where it begins behind the end.
std::span<const float> part_of(const Audio& recording, const Utterance& utterance);

// What wav.scp names, cut as segments has it. Throws as read_audio does.
Audio read_audio_of(const Utterance& utterance, double rate);

}  // namespace hadal
