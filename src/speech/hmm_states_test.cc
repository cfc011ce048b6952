#include "speech/hmm_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int32_t kEdge = HmmState::kEdge, kAny = HmmState::kAny;

// Phones: SIL 0, A 1, B 2, C 3.
Lexicon abc() { return Lexicon::parse("ABC A B C\nCBA C B A\nAB A B\n", "abc"); }

std::string states_error(const std::string& text) {
  try {
    static_cast<void>(HmmStates::parse(text, "states.txt", abc()));
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(HmmStates, phones_have_their_states_everywhere) {
  const Lexicon lexicon = abc();
  const HmmStates states(lexicon, {.states = 2, .silence_states = 3});
  EXPECT_EQ(states.size(), 9);
  EXPECT_THAT(states.silence(), ElementsAre(0, 1, 2));
  EXPECT_THAT(states.chain(0, lexicon.pronunciations(0)[0]), ElementsAre(3, 4, 5, 6, 7, 8));
  EXPECT_THAT(states.chain(1, lexicon.pronunciations(1)[0]), ElementsAre(7, 8, 5, 6, 3, 4));
}

TEST(HmmStates, a_context_with_enough_frames_has_a_state_and_others_back_off) {
  const Lexicon lexicon = abc();
  const std::vector<ContextFrames> contexts = {
      {.phone = 2, .position = 0, .left = 1, .right = 3, .word = 0, .frames = 50},  // A-B+C: its own
      {.phone = 2, .position = 0, .left = 3, .right = 1, .word = 1, .frames = 20},  // C-B+A: too few, and so is C-B,
      {.phone = 2, .position = 0, .left = kEdge, .right = 1, .word = 1, .frames = 15},  // but B+A together are enough
      {.phone = 0, .position = 0, .left = kEdge, .right = kEdge, .word = kAny, .frames = 999},
  };
  const HmmStates states(lexicon, {.states = 1, .silence_states = 1, .context = Context::triphone, .least_frames = 30},
                         contexts);
  ASSERT_EQ(states.size(), 6);
  EXPECT_EQ(states.states()[0].frames, 999);
  EXPECT_EQ(states.states()[2].frames, 85);
  const std::int32_t before_a = states.chain(1, std::vector<std::int32_t>{3, 2, 1})[1];
  EXPECT_EQ(states.states()[static_cast<std::size_t>(before_a)],
            (HmmState{.phone = 2, .position = 0, .left = kAny, .right = 1, .word = kAny, .frames = 35}));
  const std::int32_t between = states.chain(0, std::vector<std::int32_t>{1, 2, 3})[1];
  EXPECT_EQ(states.states()[static_cast<std::size_t>(between)].frames, 50);
  EXPECT_EQ(states.chain(2, std::vector<std::int32_t>{1, 2})[1], 2) << "A-B at the end was never seen";
}

TEST(HmmStates, the_more_frequent_neighbour_decides) {
  const Lexicon lexicon = abc();
  std::vector<ContextFrames> contexts = {
      {.phone = 2, .position = 0, .left = 1, .right = 1, .word = 0, .frames = 40},
      {.phone = 2, .position = 0, .left = 3, .right = 3, .word = 0, .frames = 60},
  };
  const HmmOptions options{.states = 1, .silence_states = 1, .context = Context::triphone, .least_frames = 100};
  contexts.push_back({.phone = 2, .position = 0, .left = 1, .right = 2, .word = 0, .frames = 70});  // A-B: 110
  contexts.push_back({.phone = 2, .position = 0, .left = 2, .right = 3, .word = 0, .frames = 80});  // B+C: 140
  const HmmStates states(lexicon, options, contexts);
  const auto chosen = states.states()[static_cast<std::size_t>(states.chain(0, std::vector<std::int32_t>{1, 2, 3})[1])];
  EXPECT_EQ(chosen.frames, 140);
  EXPECT_EQ(chosen.right, 3);
}

TEST(HmmStates, words_have_states_of_their_own_where_they_are_frequent) {
  const Lexicon lexicon = abc();
  const std::vector<ContextFrames> contexts = {
      {.phone = 1, .position = 0, .left = kEdge, .right = 2, .word = 0, .frames = 100},
      {.phone = 1, .position = 0, .left = kEdge, .right = 2, .word = 2, .frames = 10},
  };
  const HmmStates states(lexicon, {.states = 1, .silence_states = 1, .context = Context::word, .least_frames = 50},
                         contexts);
  EXPECT_NE(states.chain(0, lexicon.pronunciations(0)[0])[0], states.chain(2, lexicon.pronunciations(2)[0])[0]);
  EXPECT_EQ(states.chain(2, lexicon.pronunciations(2)[0])[0], 1);
}

TEST(HmmStates, text_is_read_back) {
  const Lexicon lexicon = abc();
  const std::vector<ContextFrames> contexts = {
      {.phone = 1, .position = 1, .left = kEdge, .right = 2, .word = 0, .frames = 100}};
  HmmStates states(lexicon, {.context = Context::word, .least_frames = 50}, contexts);
  states.set_loop(4, 0.123456789012345678);
  const std::string text = states.to_text(lexicon);
  EXPECT_THAT(text, HasSubstr("\n12 A 1 # B ABC 100 0.5\n"));
  const HmmStates again = HmmStates::parse(text, "states.txt", lexicon);
  EXPECT_EQ(again.states(), states.states());
  EXPECT_EQ(again.to_text(lexicon), text);
}

TEST(HmmStates, a_smaller_dictionary_keeps_states_it_cannot_use_but_a_new_phone_is_refused) {
  const Lexicon lexicon = abc(), smaller = Lexicon::parse("AB A B\n", "small");
  const std::string text = HmmStates(lexicon, {}).to_text(lexicon);
  const HmmStates read = HmmStates::parse(text, "states.txt", smaller);
  EXPECT_EQ(read.size(), 12);
  EXPECT_EQ(read.to_text(smaller), text);
  EXPECT_THROW(static_cast<void>(HmmStates::parse(text, "states.txt", Lexicon::parse("AD A D\n", "new"))), DataError);
}

TEST(HmmStates, errors_say_the_line) {
  EXPECT_THAT(states_error("0 A 0 * * * 1 0.5\n"), HasSubstr("states.txt:1: this is no list of states"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 0 * * *\n"), HasSubstr("states.txt:2: a line is a state's number"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n1 A 0 * * * 1 0.5\n"), HasSubstr("states are numbered from 0"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 1 * * * 1 0.5\n"), HasSubstr("'1' is not a number from 0 to 0"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 0 * * * 1 1\n"), HasSubstr("lies between 0 and 1"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 0 * * * 1 nan\n"), HasSubstr("'nan' is not a number"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 0 * * * 1 .5\n1 A 0 * * * 1 .5\n"), HasSubstr(":3: this state"));
  EXPECT_THAT(states_error("hadal-states-1 1 1\n0 A 0 * * * 1 .5\n"), HasSubstr("has no state 0 of the phone 'SIL'"));
}

}  // namespace

}  // namespace hadal
