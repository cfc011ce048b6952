#pragma once
// Viterbi beam search for the words of an utterance (token passing, frame by frame).

#include <cstdint>
#include <memory>
#include <vector>

#include "speech/decoding_graph.h"
#include "speech/feature_matrix.h"

namespace hadal {

struct DecodedWord {
  std::int32_t word = 0, pronunciation = 0;  // of the dictionary
  std::int64_t first = 0, last = 0;          // frames first .. last - 1
  // The word's posterior probability around there: the sum over all paths of the word lattice that have this word at a
  // frame, for the frame of the word where it is the largest (Wessel, Schlüter, Macherey, Ney, "Confidence measures for
  // large vocabulary continuous speech recognition", 2001: C_max).
  double confidence = 0;
};

struct DecodedUtterance {
  std::vector<DecodedWord> words;
  double score = 0;         // of the best path, in scaled natural logarithms
  bool complete = true;     // false: no path reached an end; these are the words of the best one so far
  std::int64_t frames = 0;  // that were searched: fewer than there are where scores are not finite
  double active = 0;        // mean number of states that were searched, a frame
};

// The search in an utterance of any length, a piece at a time. Which of several equally good paths wins does not depend
// on anything but the graph. Scores are summed in double precision, and what no path goes on from is forgotten: an hour
// has the words that its minutes have, in some hundred bytes a frame. One thread calls it; graph and options outlive
// it.
class Decoding {
 public:
  // Acoustic scores and what staying and leaving cost are multiplied by options.acoustic_scale; beam and confidences
  // are of numbers scaled so.
  Decoding(const DecodingGraph& graph, const DecodeOptions& options);
  ~Decoding();
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  // The next frames: [frames, graph.states], as AcousticModel::score gives them.
  void add(const FeatureMatrix& scores);

  // What all of them say. No frames: no words. Nothing may be called after it.
  DecodedUtterance finish();

 private:
  class Search;
  std::unique_ptr<Search> search_;
};

// The same of utterances that are there as a whole. Immutable, so any thread may call decode; the graph outlives it.
class Decoder {
 public:
  Decoder(const DecodingGraph& graph, const DecodeOptions& options) : graph_(graph), options_(options) {}

  DecodedUtterance decode(const FeatureMatrix& scores) const;

 private:
  const DecodingGraph& graph_;
  DecodeOptions options_;
};

}  // namespace hadal
