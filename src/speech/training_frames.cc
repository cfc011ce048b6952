#include "speech/training_frames.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "data/npy_writer.h"

namespace hadal {

namespace {

std::string file_of(const std::string& folder, const std::string& name, const std::string& what) {
  return folder + "/" + name + "." + what + ".npy";
}

}  // namespace

void write_training_frames(const std::string& folder, const std::string& name,
                           std::span<const AlignedFrames> utterances) {
  HADAL_CHECK(!utterances.empty());
  std::vector<std::int32_t> labels, lengths;
  for (const AlignedFrames& utterance : utterances) {
    HADAL_CHECK(utterance.features->frames == static_cast<std::int64_t>(utterance.states.size()));
    labels.insert(labels.end(), utterance.states.begin(), utterance.states.end());
    lengths.push_back(static_cast<std::int32_t>(utterance.states.size()));
  }
  create_folders(folder);
  const auto frames = static_cast<std::int64_t>(labels.size());
  write_file(file_of(folder, name, "labels"), npy_bytes({frames}, labels));
  write_file(file_of(folder, name, "utterances"), npy_bytes({static_cast<std::int64_t>(lengths.size())}, lengths));
  AtomicFile features(file_of(folder, name, "features"));
  features.write(npy_header(npy_type<float>(), {frames, utterances[0].features->dim}));
  for (const AlignedFrames& utterance : utterances) {
    HADAL_CHECK(utterance.features->dim == utterances[0].features->dim);
    features.write(std::as_bytes(std::span(utterance.features->values)));
  }
  features.commit();
}

NpyData training_frames(const std::string& folder, const std::string& name, const Splice& splice) {
  NpyData source;
  source.features = {file_of(folder, name, "features")};
  source.labels = {file_of(folder, name, "labels")};
  source.utterances = {file_of(folder, name, "utterances")};
  source.splice = splice;
  return source;
}

std::vector<float> log_priors(std::span<const AlignedFrames> utterances, std::int64_t states) {
  std::vector<double> counts(static_cast<std::size_t>(states), 1);
  double all = static_cast<double>(states);
  for (const AlignedFrames& utterance : utterances) {
    for (const std::int32_t state : utterance.states) ++counts[static_cast<std::size_t>(state)];
    all += static_cast<double>(utterance.states.size());
  }
  std::vector<float> logs;
  for (const double count : counts) logs.push_back(static_cast<float>(std::log(count / all)));
  return logs;
}

void splice_frame(const FeatureMatrix& features, std::int64_t frame, const Splice& splice, std::span<float> values) {
  const auto dim = static_cast<std::size_t>(features.dim);
  for (std::int64_t offset = -splice.left; offset <= splice.right; ++offset) {
    const std::int64_t from = std::clamp<std::int64_t>(frame + offset, 0, features.frames - 1);
    const auto place = static_cast<std::size_t>(offset + splice.left) * dim;
    std::ranges::copy(features.row(from), values.begin() + static_cast<std::ptrdiff_t>(place));
  }
}

}  // namespace hadal
