#include "speech/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/random.h"
#include "speech/alignment.h"
#include "speech/word_lattice.h"

namespace hadal {

namespace {

using ::testing::ElementsAre;

// Phones: SIL 0, A 1, B 2, C 3; a state each.
struct DecoderFixture {
  Lexicon lexicon = Lexicon::parse("AB A B\nC C\nBA B A\nBA C A\n", "words");
  HmmStates states{lexicon, {.states = 1, .silence_states = 1}};
  DecodeOptions options{.acoustic_scale = 1};

  DecodedUtterance decode(const NgramModel& model, const FeatureMatrix& scores) const {
    const DecodingGraph graph = make_decoding_graph(lexicon, states, model, options);
    return Decoder(graph, options).decode(scores);
  }
  NgramModel loop() const { return estimate_ngrams(0, lexicon.words(), {}); }
  NgramModel bigram() const {
    return estimate_ngrams(2, lexicon.words(), std::vector<std::vector<std::int32_t>>{{0, 1}, {0, 1}, {2}, {1, 2, 0}});
  }
};

FeatureMatrix clear_scores(const std::vector<std::int32_t>& said) {
  FeatureMatrix scores(static_cast<std::int64_t>(said.size()), 4);
  for (std::size_t f = 0; f < said.size(); ++f) {
    for (std::int32_t s = 0; s < 4; ++s) {
      scores.row(static_cast<std::int64_t>(f))[static_cast<std::size_t>(s)] = said[f] == s ? 0.0f : -20.0f;
    }
  }
  return scores;
}

FeatureMatrix noisy_scores(std::int64_t frames, std::uint32_t number) {
  FeatureMatrix scores(frames, 4);
  const RandomSequence random(3, RandomUse::self_test, number);
  for (std::size_t i = 0; i < scores.values.size(); ++i) scores.values[i] = 2 * random.normal(i);
  return scores;
}

std::vector<std::int32_t> words_in(const DecodedUtterance& utterance) {
  std::vector<std::int32_t> words;
  for (const DecodedWord& word : utterance.words) words.push_back(word.word);
  return words;
}

TEST(Decoder, finds_words_their_times_and_pronunciations) {
  const DecoderFixture fixture;
  const DecodedUtterance result = fixture.decode(fixture.loop(), clear_scores({0, 0, 1, 1, 2, 3, 3, 0, 3, 1, 1}));
  EXPECT_TRUE(result.complete);
  EXPECT_THAT(words_in(result), ElementsAre(0, 1, 2));
  EXPECT_EQ(result.words[0].first, 2);
  EXPECT_EQ(result.words[0].last, 5);
  EXPECT_EQ(result.words[1].first, 5);
  EXPECT_EQ(result.words[1].last, 7);
  EXPECT_EQ(result.words[2].pronunciation, 1);
  EXPECT_EQ(result.words[2].first, 8);
  EXPECT_EQ(result.words[2].last, 11);
  for (const DecodedWord& word : result.words) EXPECT_GT(word.confidence, 0.99);
}

// The score of a word sequence: its best alignment, the language model, and penalties.
double score_of_words(const DecoderFixture& fixture, const NgramModel& model, const std::vector<std::int32_t>& words,
                      const FeatureMatrix& scores) {
  const auto graph = make_transcript_graph(fixture.lexicon, fixture.states, words, fixture.options.silence_probability);
  FeatureMatrix columns(scores.frames, static_cast<std::int64_t>(graph.states.size()));
  for (std::int64_t f = 0; f < scores.frames; ++f) {
    for (std::size_t i = 0; i < graph.states.size(); ++i) {
      columns.row(f)[i] = scores.row(f)[static_cast<std::size_t>(graph.states[i])];
    }
  }
  const auto alignment = align(graph, columns);
  if (!alignment) return -INFINITY;
  std::vector<std::string> names;
  for (const std::int32_t word : words) names.push_back(fixture.lexicon.words()[static_cast<std::size_t>(word)]);
  // A transcript without words is silence for certain; in the decoder it is one of two ways.
  const double no_words = words.empty() ? std::log(fixture.options.silence_probability) : 0;
  return alignment->score + fixture.options.language_scale * model.score_sentence(names) +
         fixture.options.word_penalty * static_cast<double>(words.size()) + no_words;
}

// Against all word sequences, with models of any kind: the search is exact where nothing is pruned.
TEST(Decoder, finds_the_best_of_all_word_sequences) {
  DecoderFixture fixture;
  fixture.options.language_scale = 1.5;
  fixture.options.word_penalty = -0.3;
  fixture.options.silence_probability = 0.3;
  constexpr int kFrames = 5;
  for (const NgramModel& model : {fixture.loop(), fixture.bigram()}) {
    for (std::uint32_t number = 0; number < 10; ++number) {
      const FeatureMatrix scores = noisy_scores(kFrames, number);
      double best = -INFINITY;
      std::vector<std::int32_t> best_words, words;
      const std::function<void()> extend = [&] {
        const double score = score_of_words(fixture, model, words, scores);
        if (score > best) {
          best = score;
          best_words = words;
        }
        if (words.size() == kFrames) return;
        for (std::int32_t word = 0; word < 3; ++word) {
          words.push_back(word);
          extend();
          words.pop_back();
        }
      };
      extend();
      const DecodedUtterance result = fixture.decode(model, scores);
      EXPECT_TRUE(result.complete);
      EXPECT_EQ(words_in(result), best_words);
      EXPECT_NEAR(result.score, best, 1e-4);
    }
  }
}

TEST(Decoder, the_language_model_decides_between_words_that_sound_alike) {
  DecoderFixture fixture;
  fixture.lexicon = Lexicon::parse("TWO A B\nTOO A B\nC C\n", "alike");
  const std::vector<std::vector<std::int32_t>> transcripts = {{0, 2}, {2, 1}};
  const NgramModel model = estimate_ngrams(2, fixture.lexicon.words(), transcripts);
  EXPECT_THAT(words_in(fixture.decode(model, clear_scores({1, 2, 3}))), ElementsAre(0, 2));
  const DecodedUtterance second = fixture.decode(model, clear_scores({3, 1, 2}));
  EXPECT_THAT(words_in(second), ElementsAre(2, 1));
  // C, then TOO: (1 + P(TOO)) / 2, or TWO: P(TWO) / 2; the end: (1 + P(</s>)) / 2, or P(</s>) / 2.
  EXPECT_LT(second.words[1].confidence, 0.999);
  EXPECT_GT(second.words[1].confidence, 0.8);
}

TEST(Decoder, without_frames_there_are_no_words) {
  const DecoderFixture fixture;
  const DecodedUtterance result = fixture.decode(fixture.bigram(), FeatureMatrix(0, 4));
  EXPECT_TRUE(result.words.empty());
  EXPECT_EQ(result.frames, 0);
}

TEST(Decoder, an_unfinished_utterance_gives_its_words_so_far_and_says_so) {
  DecoderFixture fixture;
  fixture.options.silence_probability = 0;
  // After one word, a frame of the next one's beginning is left, and nothing may end there.
  const DecodedUtterance result = fixture.decode(fixture.loop(), clear_scores({3, 3, 2}));
  EXPECT_TRUE(result.complete) << "C can be said for three frames, however badly";
  fixture.options.beam = 5;
  const DecodedUtterance pruned = fixture.decode(fixture.loop(), clear_scores({3, 3, 2}));
  EXPECT_FALSE(pruned.complete);
  EXPECT_THAT(words_in(pruned), ElementsAre(1));
  EXPECT_EQ(pruned.frames, 3);
}

TEST(Decoder, numbers_that_are_not_finite_end_the_search_where_they_are) {
  const DecoderFixture fixture;
  FeatureMatrix scores = clear_scores({3, 3, 0, 0, 3});
  for (float& value : scores.row(3)) value = std::nanf("");
  const DecodedUtterance result = fixture.decode(fixture.loop(), scores);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.frames, 3);
  EXPECT_THAT(words_in(result), ElementsAre(1));
}

// Pieces of speech between silences; the frames of all states are about -60, as those of Gaussian mixtures are.
FeatureMatrix spoken_piece(std::uint32_t number) {
  const RandomSequence random(5, RandomUse::self_test, number);
  const std::vector<std::vector<std::int32_t>> words{{1, 2}, {3}, {2, 1}, {3, 1}};
  std::vector<std::int32_t> said(5, 0);
  std::uint64_t draw = 0;
  while (said.size() < 150) {
    for (const std::int32_t state : words[random.below(draw++, 4)]) {
      said.insert(said.end(), 2 + random.below(draw++, 8), state);
    }
    if (random.below(draw++, 2) == 0) said.insert(said.end(), 2 + random.below(draw++, 5), 0);
  }
  said.insert(said.end(), 5, 0);
  FeatureMatrix scores = clear_scores(said);
  for (std::size_t i = 0; i < scores.values.size(); ++i) {
    const bool edge = i < 20 || i + 20 >= scores.values.size();
    scores.values[i] = 0.1f * scores.values[i] * (edge ? 20.0f : 1.0f) + 1.5f * random.normal(draw + i) - 60;
  }
  return scores;
}

// An hour is found like its parts: no score is rounded as the sum grows, and what is forgotten is not needed.
TEST(Decoder, long_recordings_have_the_words_of_their_parts) {
  DecoderFixture fixture;
  fixture.options.beam = 40;
  const DecodingGraph graph = make_decoding_graph(fixture.lexicon, fixture.states, fixture.loop(), fixture.options);
  Decoding all(graph, fixture.options);
  std::vector<DecodedWord> expected;
  std::int64_t frames = 0;
  for (std::uint32_t number = 0; frames < 360'000; ++number) {
    const FeatureMatrix piece = spoken_piece(number);
    all.add(piece);
    const DecodedUtterance part = Decoder(graph, fixture.options).decode(piece);
    ASSERT_TRUE(part.complete);
    for (DecodedWord word : part.words) {
      word.first += frames;
      word.last += frames;
      expected.push_back(word);
    }
    frames += piece.frames;
  }
  const DecodedUtterance found = all.finish();
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.frames, frames);
  ASSERT_EQ(found.words.size(), expected.size());
  int unsure = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found.words[i].word, expected[i].word) << i;
    ASSERT_EQ(found.words[i].first, expected[i].first) << i;
    ASSERT_EQ(found.words[i].last, expected[i].last) << i;
    ASSERT_NEAR(found.words[i].confidence, expected[i].confidence, 1e-3) << i;
    unsure += expected[i].confidence < 0.95 ? 1 : 0;
  }
  EXPECT_GT(unsure, 100) << "there were no other ways to forget";
}

// The frame of silence is far below the best until what follows shows that it was silence.
TEST(Decoder, an_unlikely_silence_on_the_best_way_leaves_its_words_sure) {
  DecoderFixture fixture;
  fixture.lexicon = Lexicon::parse("AB A B\nBA B A\n", "words");
  fixture.states = HmmStates(fixture.lexicon, {.states = 1, .silence_states = 1});
  FeatureMatrix scores(3, 3);
  scores.values = {-20, -60, 0, -60, 0, -60, -60, -60, 0};
  const DecodedUtterance result = fixture.decode(fixture.loop(), scores);
  EXPECT_THAT(words_in(result), ElementsAre(0));
  EXPECT_EQ(result.words.at(0).first, 1);
  EXPECT_GT(result.words[0].confidence, 0.99);
}

// Dead ends have no part in confidences.
TEST(Decoder, a_lattice_without_dead_ends_says_the_same) {
  const DecoderFixture fixture;
  for (const NgramModel& model : {fixture.loop(), fixture.bigram()}) {
    const DecodingGraph graph = make_decoding_graph(fixture.lexicon, fixture.states, model, fixture.options);
    // Words that end at every frame and go on at the fourth only.
    WordLattice lattice;
    const auto entry = [&](std::int32_t word) {
      for (const DecodingGraph::Entry& one : graph.entries) {
        if (graph.nodes[static_cast<std::size_t>(one.node)].word == word) return one.node;
      }
      return -1;
    };
    const auto place_behind = [&](std::int32_t node) {
      while (graph.nodes[static_cast<std::size_t>(node)].following >= 0) {
        node = graph.nodes[static_cast<std::size_t>(node)].following;
      }
      return graph.nodes[static_cast<std::size_t>(node)].place;
    };
    const std::int32_t words[] = {0, 2, 1};
    for (std::int32_t last = 2; last <= 12; ++last) {
      for (std::int32_t w = std::max(0, (last - 5) / 4); w < 3 && 4 * w + 2 <= last; ++w) {
        for (const std::int32_t word : {words[w], words[(w + 1) % 3]}) {
          const std::int32_t head = entry(word);
          lattice.arcs.push_back({.head = head,
                                  .place = place_behind(head),
                                  .word = word,
                                  .first = 4 * w,
                                  .last = last,
                                  .score = -0.3 * (last % 3) - 0.2 * word});
        }
      }
    }
    std::vector<std::int64_t> arcs;  // words[w], from 4 w to 4 w + 4
    for (std::size_t i = 0; i < lattice.arcs.size(); ++i) {
      WordLattice::Arc& arc = lattice.arcs[i];
      if (arc.last != arc.first + 4 || arc.word != words[arc.first / 4]) continue;
      if (!arcs.empty()) arc.before = arcs.back();
      arcs.push_back(static_cast<std::int64_t>(i));
    }
    ASSERT_EQ(arcs.size(), 3U);
    const std::vector<double> before = word_confidences(graph, lattice, 12, true, arcs);
    const std::size_t size = lattice.arcs.size();
    const std::vector<std::int64_t> numbers =
        remove_dead_ends(graph, lattice, {.frame = 12, .open = {}, .traces = {arcs[2]}});
    EXPECT_LT(lattice.arcs.size(), size / 2);
    std::vector<std::int64_t> now;
    for (const std::int64_t arc : arcs) now.push_back(numbers[static_cast<std::size_t>(arc)]);
    EXPECT_EQ(lattice.arcs[static_cast<std::size_t>(now[2])].before, now[1]);
    EXPECT_EQ(word_confidences(graph, lattice, 12, true, now), before);
    EXPECT_LT(before[0], 0.99);
  }
}

TEST(Decoder, fewer_active_states_are_searched_where_that_is_asked) {
  DecoderFixture fixture;
  fixture.options.most_active = 3;
  const FeatureMatrix scores = clear_scores({0, 1, 1, 2, 2, 0, 3, 3, 0, 0});
  const DecodedUtterance result = fixture.decode(fixture.bigram(), scores);
  EXPECT_LE(result.active, 4);
  EXPECT_THAT(words_in(result), ElementsAre(0, 1));
}

TEST(Decoder, words_that_only_the_language_model_has_are_named) {
  const DecoderFixture fixture;
  const NgramModel model = estimate_ngrams(1, {"C", "XYZZY"}, std::vector<std::vector<std::int32_t>>{{0, 1}});
  const DecodingGraph graph = make_decoding_graph(fixture.lexicon, fixture.states, model, fixture.options);
  EXPECT_EQ(graph.unknown_words.count, 1);
  EXPECT_THAT(graph.unknown_words.named, ElementsAre("'XYZZY'"));
  const NgramModel other = estimate_ngrams(1, {"XYZZY"}, std::vector<std::vector<std::int32_t>>{{0}});
  EXPECT_THROW(static_cast<void>(make_decoding_graph(fixture.lexicon, fixture.states, other, fixture.options)),
               DataError);
}

TEST(Decoder, histories_share_the_states_of_words_that_lead_to_one) {
  const DecoderFixture fixture;
  const DecodingGraph loop = make_decoding_graph(fixture.lexicon, fixture.states, fixture.loop(), fixture.options);
  EXPECT_EQ(loop.nodes.size(), 2u + 1 + 2 + 2 + 1);  // words, and silence
  const DecodingGraph graph = make_decoding_graph(fixture.lexicon, fixture.states, fixture.bigram(), fixture.options);
  EXPECT_EQ(graph.places.size(), 5u);  // none, <s>, three words
  EXPECT_EQ(graph.nodes.size(), 2u + 1 + 2 + 2 + 5);
}

}  // namespace

}  // namespace hadal
