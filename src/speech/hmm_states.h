#pragma once
// The acoustic states: which states a phone has in which context, and how long one stays in each.
//
// A phone is a row of states from left to right; each is entered from the one before, kept for a frame or more, and
// left for the next. A phone's states may depend on its neighbours within the word, or on the word (Context). Whether
// such a state exists is decided for each from the frames of an alignment: contexts with at least
// HmmOptions::least_frames have states of their own; what is left of a phone with the same left, or the same right
// neighbour has one where it has that many frames; the rest shares the phone's. Looking up goes the same way: word,
// both neighbours, the neighbour with more frames (the left one where they are equal), phone.

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "speech/hmm_options.h"
#include "speech/lexicon.h"

namespace hadal {

// One state, by what must hold for it to be used. A neighbour or a word that does not matter is kAny; where a word
// begins or ends, the neighbour is kEdge.
struct HmmState {
  static constexpr std::int32_t kAny = -1, kEdge = -2;

  std::int32_t phone = 0, position = 0;  // position: of the state in the phone, from 0
  std::int32_t left = kAny, right = kAny, word = kAny;
  std::int64_t frames = 0;  // of the alignment it was made from, without those with a state of a narrower context
  double loop = 0.5;        // the probability of staying for another frame, in (0, 1)

  bool operator==(const HmmState&) const = default;
};

// How many frames an alignment has of a position of a phone, in a word between neighbours: no kAny, and silence that
// is no part of a word has left = right = kEdge and word = kAny.
struct ContextFrames {
  std::int32_t phone = 0, position = 0, left = 0, right = 0, word = 0;
  std::int64_t frames = 0;
};

// Any thread may call const functions.
class HmmStates {
 public:
  // Of phones alone: SIL has silence_states, each other phone of the dictionary has `states`.
  HmmStates(const Lexicon& lexicon, const HmmOptions& options);

  // Of phones in context, as options.context has it.
  HmmStates(const Lexicon& lexicon, const HmmOptions& options, std::span<const ContextFrames> contexts);

  // states.txt: a first line "hadal-states-1 STATES SILENCE_STATES", then a line for each state: its number, phone,
  // position, left, right, word (* any, # edge), frames, and loop. Phones and words are looked up in the dictionary;
  // those it does not have keep their states, which then are not used. Throws DataError with the line, also where a
  // phone of the dictionary has no states.
  static HmmStates read(const std::string& path, const Lexicon& lexicon, const Position& where = {});
  static HmmStates parse(std::string_view text, const std::string& file, const Lexicon& lexicon);
  std::string to_text(const Lexicon& lexicon) const;

  std::int64_t size() const { return static_cast<std::int64_t>(states_.size()); }
  const std::vector<HmmState>& states() const { return states_; }
  void set_loop(std::int32_t state, double probability) { states_[static_cast<std::size_t>(state)].loop = probability; }

  int states_of_phone(std::int32_t phone) const { return phone == Lexicon::kSilence ? silence_states_ : phone_states_; }

  // The states of a word's pronunciation, phone after phone.
  std::vector<std::int32_t> chain(std::int32_t word, std::span<const std::int32_t> phones) const;

  // The states of silence between words.
  std::vector<std::int32_t> silence() const;

 private:
  HmmStates() = default;
  using Key = std::array<std::int32_t, 5>;
  static Key key_of(const HmmState& state) {
    return {state.phone, state.position, state.left, state.right, state.word};
  }
  void add(const HmmState& state);
  std::int32_t find(std::int32_t phone, std::int32_t position, std::int32_t left, std::int32_t right,
                    std::int32_t word) const;

  int phone_states_ = 0, silence_states_ = 0;
  std::vector<HmmState> states_;
  std::vector<std::string> unknown_;  // names in states.txt that the dictionary does not have
  std::map<Key, std::int32_t> numbers_;
};

}  // namespace hadal
