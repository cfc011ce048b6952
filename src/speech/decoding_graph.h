#pragma once
// All that may be said, as a graph of acoustic states: built once, searched by a Decoder.
//
// For each history of the language model there are two places: `after` a word, and `before` the next. From the one to
// the other leads silence, or nothing. From `before` a word's states lead to `after` of the history that the word
// makes; histories that lead to the same one through the same pronunciation share these states. From `before` of a
// history one may also fall back to a shorter one.

#include <cstdint>
#include <span>
#include <vector>

#include "data/sample_source.h"
#include "speech/hmm_options.h"
#include "speech/hmm_states.h"
#include "speech/lexicon.h"
#include "speech/ngram_model.h"

namespace hadal {

struct DecodingGraph {
  struct Node {
    std::int32_t state = 0;
    std::int32_t following = -1;  // the next node of the chain; -1: it ends here,
    std::int32_t place = -1;      // and leads to this place: after a word, or before the next behind silence
    std::int32_t word = -1;       // of the dictionary; -1: silence
    std::int32_t pronunciation = 0;
    float loop = 0, leave = 0;  // logarithms of staying for a frame, and of not
  };
  struct Entry {
    std::int32_t node = 0;  // where a word begins
    float log_probability = 0;
  };
  struct Entrance {  // an entry, seen from its node
    std::int32_t place = 0;
    float log_probability = 0;
  };
  struct Place {
    std::size_t first_entry = 0, last_entry = 0;
    std::int32_t silence = -1;  // node where silence begins; -1: there is none
    std::int32_t backoff = -1;  // a place with a lower number; -1: none
    float log_backoff = 0;
    float log_end = 0;  // that the utterance ends here; minus infinity: it does not
  };

  std::vector<Node> nodes;
  std::vector<Entry> entries;
  std::vector<Entrance> entrances;          // by node
  std::vector<std::size_t> first_entrance;  // of each node, and their number
  std::vector<Place> places;                // of the histories, by their numbers
  std::int32_t first_place = 0;
  float log_silence = 0, log_no_silence = 0;
  std::int64_t states = 0;  // of the acoustic model
  LeftOut unknown_words;    // of the language model, which the dictionary does not have: they cannot be said

  std::span<const Entrance> entrances_of(std::int32_t node) const {
    const auto n = static_cast<std::size_t>(node);
    return std::span(entrances).subspan(first_entrance[n], first_entrance[n + 1] - first_entrance[n]);
  }
};

// The language model's logarithms are multiplied by options.language_scale, and options.word_penalty is added at each
// word. Throws DataError where the language model and the dictionary have no word in common.
DecodingGraph make_decoding_graph(const Lexicon& lexicon, const HmmStates& states, const NgramModel& model,
                                  const DecodeOptions& options);

}  // namespace hadal
