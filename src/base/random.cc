#include "base/random.h"

#include <cmath>
#include <numbers>

namespace hadal {

PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  philox_rounds(counter[0], counter[1], counter[2], counter[3], key);
  return counter;
}

RandomSequence::RandomSequence(std::uint64_t seed, RandomUse use, std::uint32_t index) : index_(index) {
  const PhiloxCounter mixed = philox({static_cast<std::uint32_t>(use), 0, 0, 0},
                                     {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  key_ = {mixed[0], mixed[1]};
}

PhiloxCounter RandomSequence::bits(std::uint32_t a, std::uint32_t b, std::uint32_t c) const {
  return philox({a, b, c, index_}, key_);
}

std::uint32_t RandomSequence::bits(std::uint64_t i) const {
  const std::uint64_t block = i / 4;
  return bits(static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0)[i % 4];
}

float RandomSequence::uniform(std::uint64_t i) const { return static_cast<float>(bits(i) >> 8) * 0x1p-24f; }

float RandomSequence::normal(std::uint64_t i) const {
  // Numbers 2 i and 2 i + 1, of one block of four.
  const std::uint64_t block = i / 2;
  const PhiloxCounter four = bits(static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0);
  const double first = four[i % 2 * 2], second = four[i % 2 * 2 + 1];
  const double radius = std::sqrt(-2 * std::log((first + 0.5) * 0x1p-32));
  return static_cast<float>(radius * std::cos(2 * std::numbers::pi * (second * 0x1p-32)));
}

std::uint32_t RandomSequence::below(std::uint64_t i, std::uint64_t bound) const {
  return static_cast<std::uint32_t>((std::uint64_t{bits(i)} * bound) >> 32);
}

}  // namespace hadal
