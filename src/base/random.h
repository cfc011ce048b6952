#pragma once
// Random numbers that depend on what they are for, never on who draws them or when (architecture, rule 1).
//
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

#include <array>
#include <cstdint>

namespace hadal {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key);

// The same in place, on the four numbers of a counter: inline, so that loops over counters become vector code.
[[gnu::always_inline]] inline void philox_rounds(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2,
                                                 std::uint32_t& c3, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53u} * c0, second = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(second >> 32) ^ c1 ^ key[0];
    c1 = static_cast<std::uint32_t>(second);
    c2 = static_cast<std::uint32_t>(first >> 32) ^ c3 ^ key[1];
    c3 = static_cast<std::uint32_t>(first);
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
}

// What a number is drawn for: part of the key, so that two uses never see the same sequence.
enum class RandomUse : std::uint32_t {
  initialise = 1,
  dropout = 2,
  shuffle = 3,
  synthetic = 4,
  self_test = 5,
  shuffle_window = 6,
  augment = 7,
  bootstrap = 16,
  pretrain = 8,
  held_out = 9,
};

// One sequence: `seed` is the job's, `index` says which of its use (the layer, the epoch, ...).
class RandomSequence {
 public:
  RandomSequence(std::uint64_t seed, RandomUse use, std::uint32_t index);

  // Four numbers for counter (a, b, c): for example (step, sample, element / 4).
  PhiloxCounter bits(std::uint32_t a, std::uint32_t b, std::uint32_t c) const;

  // What bits() draws with: the key, and the counter's last number.
  PhiloxKey key() const { return key_; }
  std::uint32_t index() const { return index_; }

  // Element `i` of a sequence without further structure.
  std::uint32_t bits(std::uint64_t i) const;
  float uniform(std::uint64_t i) const;  // in [0, 1), 24 bits
  float normal(std::uint64_t i) const;   // mean 0, deviation 1 (Box-Muller, in double precision)

  // A whole number in [0, bound) from number `i`; bound <= 2^32. Biased by at most bound / 2^32.
  std::uint32_t below(std::uint64_t i, std::uint64_t bound) const;

 private:
  PhiloxKey key_;
  std::uint32_t index_;
};

}  // namespace hadal
