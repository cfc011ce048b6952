#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace hadal {
namespace {

// kat_vectors of Random123 (Salmon et al.), philox4x32 with 10 rounds.
TEST(Philox, known_answers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomSequence, seed_use_and_index_each_choose_another_sequence) {
  std::set<PhiloxCounter> first;
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1} << 32}) {
    for (const RandomUse use : {RandomUse::initialise, RandomUse::dropout, RandomUse::shuffle}) {
      for (const std::uint32_t index : {0u, 1u, 1000u}) first.insert(RandomSequence(seed, use, index).bits(0, 0, 0));
    }
  }
  EXPECT_EQ(first.size(), 27u);
}

TEST(RandomSequence, numbers_by_place_are_the_words_of_their_block) {
  const RandomSequence sequence(7, RandomUse::self_test, 3);
  const PhiloxCounter block = sequence.bits(5, 0, 0);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(sequence.bits(20 + i), block[i]);
  EXPECT_EQ(sequence.bits(std::uint64_t{4} << 32), sequence.bits(0, 1, 0)[0]);
}

TEST(RandomSequence, uniform_numbers_fill_the_unit_interval) {
  const RandomSequence sequence(1, RandomUse::self_test, 0);
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const float value = sequence.uniform(i);
    ASSERT_GE(value, 0.0f);
    ASSERT_LT(value, 1.0f);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.005);
}

TEST(RandomSequence, normal_numbers_have_the_moments_of_the_distribution) {
  const RandomSequence sequence(1, RandomUse::self_test, 1);
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double value = sequence.normal(i);
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourth += value * value * value * value;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
  EXPECT_NEAR(fourth / kCount, 3, 0.2);
}

TEST(RandomSequence, below_reaches_every_number_and_no_other) {
  const RandomSequence sequence(1, RandomUse::self_test, 2);
  int count[6] = {};
  for (int i = 0; i < 6000; ++i) {
    const std::uint32_t value = sequence.below(i, 6);
    ASSERT_LT(value, 6u);
    ++count[value];
  }
  for (const int times : count) EXPECT_NEAR(times, 1000, 150);
  EXPECT_EQ(sequence.below(0, 1), 0u);
  EXPECT_EQ(sequence.below(9, std::uint64_t{1} << 32), sequence.bits(9));
}

}  // namespace
}  // namespace hadal
