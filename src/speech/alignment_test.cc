#include "speech/alignment.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace hadal {

namespace {

using ::testing::ElementsAre;

// Phones: SIL 0, A 1, B 2, C 3; a state each.
Lexicon short_words() { return Lexicon::parse("AB A B\nC C\nC B C\n", "short"); }
HmmStates one_state_each(const Lexicon& lexicon) { return {lexicon, {.states = 1, .silence_states = 1}}; }

// Scores of a graph's states where frame f is of state said[f]: 0 there, -5 elsewhere.
FeatureMatrix scores_of(const TranscriptGraph& graph, const std::vector<std::int32_t>& said) {
  FeatureMatrix scores(static_cast<std::int64_t>(said.size()), static_cast<std::int64_t>(graph.states.size()));
  for (std::size_t f = 0; f < said.size(); ++f) {
    for (std::size_t s = 0; s < graph.states.size(); ++s) {
      scores.row(static_cast<std::int64_t>(f))[s] = graph.states[s] == said[f] ? 0.0f : -5.0f;
    }
  }
  return scores;
}

TEST(Alignment, finds_silences_and_the_pronunciation_that_was_said) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, std::vector<std::int32_t>{0, 1}, 0.5);
  EXPECT_EQ(graph.least_frames, 3);
  const std::vector<std::int32_t> said = {0, 0, 1, 2, 2, 0, 2, 3, 3, 0};
  const auto alignment = align(graph, scores_of(graph, said));
  ASSERT_TRUE(alignment);
  EXPECT_EQ(alignment->states, said);
  ASSERT_EQ(alignment->words.size(), 2u);
  EXPECT_EQ(alignment->words[0].first, 2);
  EXPECT_EQ(alignment->words[0].last, 5);
  EXPECT_EQ(alignment->words[1].word, 1);
  EXPECT_EQ(alignment->words[1].pronunciation, 1);
  EXPECT_EQ(alignment->words[1].first, 6);
  EXPECT_EQ(alignment->words[1].last, 9);
  ASSERT_EQ(alignment->phones.size(), 7u);
  EXPECT_EQ(alignment->phones[3].word, -1);
  EXPECT_EQ(alignment->phones[4].word, 1);
  // Ten frames, four of them loops; three silences out of three; a loop's probability is a half, and so is the end's.
  EXPECT_NEAR(alignment->score, 10 * std::log(0.5) + 3 * std::log(0.5), 1e-5);
}

TEST(Alignment, silence_can_be_absent_and_a_word_can_repeat) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, std::vector<std::int32_t>{1, 1}, 0.5);
  const auto alignment = align(graph, scores_of(graph, {3, 3}));
  ASSERT_TRUE(alignment);
  ASSERT_EQ(alignment->words.size(), 2u);
  EXPECT_EQ(alignment->words[1].first, 1);
  EXPECT_EQ(alignment->phones.size(), 2u);
}

TEST(Alignment, a_word_may_have_as_many_pronunciations_as_a_dictionary) {
  std::string text = "C c\n";
  constexpr std::size_t kLast = Lexicon::kMostPronunciations - 1;
  for (std::size_t i = 0; i <= kLast; ++i) text += fmt::format("MANY p{} q\n", i);
  const Lexicon lexicon = Lexicon::parse(text, "many");
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, std::vector<std::int32_t>{1, 0}, 0.5);
  const std::vector<std::int32_t>& said = lexicon.pronunciations(1)[kLast];
  const auto alignment = align(graph, scores_of(graph, {said[0], said[1], lexicon.pronunciations(0)[0][0]}));
  ASSERT_TRUE(alignment);
  EXPECT_EQ(alignment->words[0].pronunciation, static_cast<std::int32_t>(kLast));
  EXPECT_EQ(alignment->words[1].first, 2);
}

TEST(Alignment, too_few_frames_and_impossible_ones_are_none) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, std::vector<std::int32_t>{0}, 0.5);
  EXPECT_FALSE(align(graph, scores_of(graph, {1})));
  EXPECT_FALSE(align(graph, scores_of(graph, {})));
  FeatureMatrix scores = scores_of(graph, {1, 2});
  for (float& value : scores.values) value = std::nanf("");
  EXPECT_FALSE(align(graph, scores));
}

TEST(Alignment, a_transcript_without_words_is_silence) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, {}, 0.5);
  const auto alignment = align(graph, scores_of(graph, {0, 0}));
  ASSERT_TRUE(alignment);
  EXPECT_THAT(alignment->states, ElementsAre(0, 0));
  EXPECT_TRUE(alignment->words.empty());
}

// Against all ways that there are.
TEST(Alignment, is_the_best_of_all_ways) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const TranscriptGraph graph = make_transcript_graph(lexicon, states, std::vector<std::int32_t>{0, 1}, 0.3);
  constexpr int kFrames = 6;
  FeatureMatrix scores(kFrames, static_cast<std::int64_t>(graph.states.size()));
  for (std::size_t i = 0; i < scores.values.size(); ++i) {
    scores.values[i] = std::sin(static_cast<float>(i * i + 3 * i)) * 2;
  }
  double best = -INFINITY;
  const std::function<void(std::int32_t, int, double)> extend = [&](std::int32_t node, int frame, double score) {
    if (frame == kFrames) {
      for (const auto& end : graph.ends) {
        if (end.from == node) best = std::max(best, score + static_cast<double>(end.log_probability));
      }
      return;
    }
    for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
      const auto& to = graph.nodes[n];
      const auto here = static_cast<double>(scores.row(frame)[static_cast<std::size_t>(to.column)]);
      if (frame > 0 && static_cast<std::int32_t>(n) == node) {
        extend(node, frame + 1, score + static_cast<double>(to.loop) + here);
      }
      for (const auto& arc : to.arcs) {
        if (arc.from == node) {
          extend(static_cast<std::int32_t>(n), frame + 1, score + static_cast<double>(arc.log_probability) + here);
        }
      }
    }
  };
  extend(-1, 0, 0);
  const auto alignment = align(graph, scores);
  ASSERT_TRUE(alignment);
  EXPECT_NEAR(alignment->score, best, 1e-9);
}

TEST(Alignment, uniform_ones_divide_the_frames) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  const auto with_silence = align_uniformly(lexicon, states, std::vector<std::int32_t>{0, 1}, 10);
  ASSERT_TRUE(with_silence);
  EXPECT_THAT(with_silence->states, ElementsAre(0, 0, 1, 1, 2, 2, 3, 3, 0, 0));
  const auto without = align_uniformly(lexicon, states, std::vector<std::int32_t>{0, 1}, 4);
  ASSERT_TRUE(without);
  EXPECT_THAT(without->states, ElementsAre(1, 1, 2, 3));
  EXPECT_FALSE(align_uniformly(lexicon, states, std::vector<std::int32_t>{0, 1}, 2));
  const Lexicon long_first = Lexicon::parse("CC C B C\nCC C\n", "d");
  const auto shortest = align_uniformly(long_first, one_state_each(long_first), std::vector<std::int32_t>{0}, 1);
  ASSERT_TRUE(shortest);
  EXPECT_EQ(shortest->words[0].pronunciation, 1);
}

TEST(Alignment, contexts_are_counted_within_words_and_states_are_replaced) {
  const Lexicon lexicon = short_words();
  const HmmStates states = one_state_each(lexicon);
  auto alignment = align_uniformly(lexicon, states, std::vector<std::int32_t>{0, 1}, 10);
  ASSERT_TRUE(alignment);
  const std::vector<ContextFrames> contexts = count_contexts(std::span(&*alignment, 1));
  ASSERT_EQ(contexts.size(), 4u);
  EXPECT_EQ(contexts[0].frames, 4);
  EXPECT_EQ(contexts[1].left, HmmState::kEdge);
  EXPECT_EQ(contexts[1].right, 2);
  EXPECT_EQ(contexts[2].left, 1);
  EXPECT_EQ(contexts[3].right, HmmState::kEdge);
  const HmmStates in_context(
      lexicon, {.states = 1, .silence_states = 1, .context = Context::triphone, .least_frames = 2}, contexts);
  replace_states(*alignment, lexicon, in_context);
  const std::vector<std::int32_t> chain = in_context.chain(0, lexicon.pronunciations(0)[0]);
  EXPECT_EQ(alignment->states[2], chain[0]);
  EXPECT_EQ(alignment->states[5], chain[1]);
  EXPECT_GE(chain[0], 4);
  EXPECT_EQ(alignment->states[0], 0);
}

}  // namespace

}  // namespace hadal
