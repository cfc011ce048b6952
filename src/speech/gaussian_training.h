#pragma once
// Training of Gaussian mixtures from transcripts alone: flat start, Viterbi alignments, growing mixtures; then, where
// the recipe asks for it, again for states in context, from the alignment of the first model.
//
// As in Kaldi's and HTK's recipes: the frames of each utterance are divided equally among its states; then in each
// iteration the mixtures are fitted to their frames, some Gaussians are split, and at some iterations the frames are
// aligned anew.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/sample_source.h"
#include "speech/alignment.h"
#include "speech/gaussian_model.h"
#include "speech/hmm_options.h"
#include "speech/hmm_states.h"
#include "speech/lexicon.h"

namespace hadal {

struct TrainingUtterance {
  std::string id;
  std::vector<std::int32_t> words;
  const FeatureMatrix* features = nullptr;
  bool is_copy = false;  // changed at random: where it became too short, it is left out, whatever `on_short` says
  std::string where{};   // FILE:LINE of its words, where that is known

  std::string name() const { return where.empty() ? id : where + ": " + id; }  // for messages
};

struct GmmTrainingOptions {
  HmmOptions hmm;
  GmmOptions gmm;
  double silence_probability = 0.5;
  BadSample on_short = BadSample::fail;  // of utterances with fewer frames than states
  int threads = 1;                       // the result does not depend on it
};

// What an iteration did.
struct GmmIteration {
  std::string stage;  // "phone", "triphone", "word"
  int iteration = 0;  // from 1
  std::int64_t states = 0, gaussians = 0, frames = 0;
  double log_likelihood = 0;  // of the frames given their states, for each frame, before the mixtures were fitted
  bool aligned = false;       // before it
};

struct GmmTraining {
  HmmStates states;
  GaussianModel model;
  std::vector<std::optional<Alignment>> alignments;  // by the model; none of an utterance that was left out
  LeftOut left_out;
};

// Throws DataError where utterances, copies apart, have fewer frames than their words need: the first, some others and
// how many there are.
void check_lengths(const Lexicon& lexicon, std::span<const TrainingUtterance> utterances,
                   const GmmTrainingOptions& options);

// Throws DataError where utterances have too few frames for their words (or leaves them out), where the utterances are
// of different widths or hold numbers that are not finite, or where none is left. `report` is called after each
// iteration.
GmmTraining train_gaussians(const Lexicon& lexicon, std::span<const TrainingUtterance> utterances,
                            const GmmTrainingOptions& options,
                            const std::function<void(const GmmIteration&)>& report = {});

// Alignments of utterances by a model; none of those with too few frames, which are left out or fatal.
std::vector<std::optional<Alignment>> align_utterances(const Lexicon& lexicon, const HmmStates& states,
                                                       const GaussianModel& model,
                                                       std::span<const TrainingUtterance> utterances,
                                                       const GmmTrainingOptions& options, LeftOut& left_out);

}  // namespace hadal
