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

// What a number is drawn for: part of the key, so that two uses never see the same sequence.
enum class RandomUse : std::uint32_t { initialise = 1, dropout = 2, shuffle = 3, synthetic = 4, self_test = 5 };

// One sequence: `seed` is the job's, `index` says which of its use (the layer, the epoch, ...).
class RandomSequence {
 public:
  RandomSequence(std::uint64_t seed, RandomUse use, std::uint32_t index);

  // Four numbers for counter (a, b, c): for example (step, sample, element / 4).
  PhiloxCounter bits(std::uint32_t a, std::uint32_t b, std::uint32_t c) const;

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
