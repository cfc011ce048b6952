#pragma once
// bf16, "brain floating point": the upper half of an fp32 number (8 bits of exponent, 7 of fraction).

#include <bit>
#include <cstdint>

namespace hadal {

// Storage for a number; arithmetic is in fp32. Trivial, so arrays of it may be uninitialised.
struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;

  // To the nearest, halves to even; past the largest to infinity. A NaN stays one.
  [[gnu::always_inline]] explicit Bf16(float value) {
    const auto wide = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = wide + 0x7fffu + ((wide >> 16) & 1u);
    bits = static_cast<std::uint16_t>((value != value ? wide | 0x400000u : rounded) >> 16);
  }
  [[gnu::always_inline]] explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

}  // namespace hadal
