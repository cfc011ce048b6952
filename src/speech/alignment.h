#pragma once
// Forced alignment: which state each frame of an utterance belongs to, where the words are known.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "speech/acoustic_model.h"
#include "speech/hmm_states.h"
#include "speech/lexicon.h"

namespace hadal {

struct Alignment {
  // Frames first .. last - 1. `word` counts the words of the transcript; -1: silence that belongs to none.
  struct Phone {
    std::int32_t phone = 0, word = -1;
    std::int64_t first = 0, last = 0;
  };
  struct Word {
    std::int32_t word = 0, pronunciation = 0;
    std::int64_t first = 0, last = 0;
  };

  std::vector<std::int32_t> states;     // of each frame
  std::vector<std::int32_t> positions;  // of each frame's state in its phone
  std::vector<Phone> phones;            // all frames
  std::vector<Word> words;              // of the transcript, in order
  double score = 0;                     // logarithm of the path's probability
};

// All the ways to say a transcript: each pronunciation of each word, and silence before, between and after, if one
// likes. Nodes stand in an order in which arcs, self-loops apart, point forward.
struct TranscriptGraph {
  struct Arc {
    std::int32_t from = -1;  // a node; -1: the beginning
    float log_probability = 0;
  };
  struct Node {
    std::int32_t column = 0;  // of `states`
    std::int32_t phone = 0, position = 0;
    std::int32_t word = -1, pronunciation = 0;  // word: of the transcript; -1: silence
    float loop = 0;                             // its logarithm
    std::vector<Arc> arcs;                      // into it
  };

  std::vector<std::int32_t> words;   // the transcript
  std::vector<std::int32_t> states;  // the distinct ones, rising
  std::vector<Node> nodes;
  std::vector<Arc> ends;          // from the last nodes
  std::int64_t least_frames = 0;  // of the shortest way
};

// A transcript may have no words: then it is silence. silence_probability lies in [0, 1]; at 0 there is none but there.
TranscriptGraph make_transcript_graph(const Lexicon& lexicon, const HmmStates& states,
                                      std::span<const std::int32_t> words, double silence_probability);

// The best way (exact: no beam), scores: [frames, graph.states.size()], logarithms. Of equal ways the one that stays
// longer in later states. Nothing where there are fewer frames than graph.least_frames, or no way has a probability
// above 0.
std::optional<Alignment> align(const TranscriptGraph& graph, const FeatureMatrix& scores);

// The same by any model, which computes all states.
std::optional<Alignment> align(const TranscriptGraph& graph, AcousticModel& model, const FeatureMatrix& features);

// The frames divided equally among the states of silence, the words' first pronunciations, and silence; where there are
// too few frames, without silence; where there are still too few, of the words' shortest pronunciations; else nothing.
std::optional<Alignment> align_uniformly(const Lexicon& lexicon, const HmmStates& states,
                                         std::span<const std::int32_t> words, std::int64_t frames);

// The same alignment with other states for its phones.
void replace_states(Alignment& alignment, const Lexicon& lexicon, const HmmStates& states);

// The frames of each context: they decide which contexts have states of their own.
std::vector<ContextFrames> count_contexts(std::span<const Alignment> alignments);

}  // namespace hadal
