#pragma once
// The words and silences that a search met: which may stand between which frames, and how well they fit there.

#include <cstdint>
#include <utility>
#include <vector>

#include "speech/decoding_graph.h"

namespace hadal {

struct WordLattice {
  struct Arc {
    std::int32_t head = 0;   // the graph's node where the chain begins
    std::int32_t place = 0;  // where it leads
    std::int32_t word = -1;  // -1: silence
    std::int32_t pronunciation = 0;
    std::int32_t first = 0, last = 0;  // frames
    std::int64_t before = -1;          // the word's arc before it on the best way here; -1: none
    double score = 0;                  // of the chain's frames, without what comes before
  };

  std::vector<Arc> arcs;  // by `last`
};

// What a search that goes on needs of a lattice.
struct LatticeFrontier {
  std::int32_t frame = 0;                                   // where the search is: arcs that end here stay
  std::vector<std::pair<std::int32_t, std::int32_t>> open;  // words and silences that have begun: first frame, head
  std::vector<std::int64_t> traces;                         // arcs that stay, with those before them; -1: none
};

// Takes out the arcs from which no way leads on to the frontier: confidences do not depend on them. Returns what number
// each arc has now; -1: it was taken out.
std::vector<std::int64_t> remove_dead_ends(const DecodingGraph& graph, WordLattice& lattice,
                                           const LatticeFrontier& frontier);

// For some arcs, in the order of time: how probable it is that their word is said there. That is the sum over the arcs
// of the same word of their posterior probabilities (the share of the arc's ways among all ways through the lattice
// from the first frame to `frames`), for the frame of the arc where this is the largest. At the end all places count
// that may end the utterance, or, where it is not complete, all places after a word.
std::vector<double> word_confidences(const DecodingGraph& graph, const WordLattice& lattice, std::int64_t frames,
                                     bool complete, const std::vector<std::int64_t>& arcs);

}  // namespace hadal
