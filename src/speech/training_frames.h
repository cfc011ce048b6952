#pragma once
// What a network is trained on: frames with the acoustic states they belong to, as npy files of the job's data source.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spec/job.h"
#include "speech/feature_matrix.h"

namespace hadal {

// An utterance with a state for each of its frames.
struct AlignedFrames {
  const FeatureMatrix* features = nullptr;
  std::span<const std::int32_t> states;
};

// Writes FOLDER/NAME.features.npy, NAME.labels.npy and NAME.utterances.npy; all utterances are as wide, and at least
// one is there. Throws StorageError.
void write_training_frames(const std::string& folder, const std::string& name,
                           std::span<const AlignedFrames> utterances);

// The source that reads them.
NpyData training_frames(const std::string& folder, const std::string& name, const Splice& splice);

// Logarithms of how frequent each state is, of one frame more for each: [states].
std::vector<float> log_priors(std::span<const AlignedFrames> utterances, std::int64_t states);

// Row `frame` of an utterance with its neighbours, one after the other; where there is none, the first or last frame
// stands again, as when it is trained.
void splice_frame(const FeatureMatrix& features, std::int64_t frame, const Splice& splice, std::span<float> values);

}  // namespace hadal
