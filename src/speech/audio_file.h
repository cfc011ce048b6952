#pragma once
// Recordings: WAV and FLAC files, by libsndfile, at the rate that is wanted, by libsamplerate.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace hadal {

// One channel. Samples are as large as those of 16-bit files, whatever the file has: from -32768 to 32768, as Kaldi has
// them.
struct Audio {
  double rate = 0;  // samples a second
  std::vector<float> samples;
  bool cancelled = false;  // the file's channels are each other's opposite: the average would be silence
};

// Channels are averaged; of those that cancel each other the first is taken. `rate` 0: the file's own, else from 1,000
// to 384,000. Throws ConfigError (at `where`) where the file cannot be opened, DataError where it is neither WAV nor
// FLAC, holds no samples or numbers that are not finite, ends early, or is longer than 134,217,728 samples.
Audio read_audio(const std::string& path, double rate, const Position& where = {});

// The same of a file's bytes; `file` names them in errors.
Audio decode_audio(std::span<const std::byte> bytes, const std::string& file, double rate);

// The samples of the same sound at `ratio` times the rate, from 1/256 to 256. Samples beyond the largest stay so.
std::vector<float> resample(std::span<const float> samples, double ratio);

// A WAV file of 16 bits and one channel; louder samples are cut off. Throws StorageError.
void write_wav(const std::string& path, const Audio& audio);
std::string wav_bytes(const Audio& audio);

}  // namespace hadal
