#pragma once
// The words that a search met, as a graph: which word may stand between which frames, and how well it fits there.

#include <cstdint>
#include <vector>

namespace hadal {

// Nodes and arcs stand in the order of time: an arc's `from` is less than its `to`.
struct WordLattice {
  struct Node {
    std::int64_t best_arc = -1;  // of the best way here; -1: the beginning
    double score = 0;            // its score
  };
  struct Arc {
    std::int32_t from = 0, to = 0;  // nodes
    std::int32_t word = 0, pronunciation = 0;
    std::int64_t first = 0, last = 0;  // frames
    double score = 0;                  // of the best way through this arc, from the beginning to its end
  };
  struct End {
    std::int32_t from = 0;  // a node
    double score = 0;       // of the best way through it to an end
  };

  std::vector<Node> nodes;
  std::vector<Arc> arcs;
  std::vector<End> ends;
};

// The probability of each arc: of all ways from the beginning to an end, the share of those that use it. Zeros where
// there are no ends.
std::vector<double> arc_posteriors(const WordLattice& lattice);

// Of some arcs, in the order of time: the largest sum over the arc's frames of the posteriors of arcs of its word.
std::vector<double> word_confidences(const WordLattice& lattice, const std::vector<std::int64_t>& arcs);

}  // namespace hadal
