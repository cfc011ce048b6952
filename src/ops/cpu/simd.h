#pragma once
// Loops that the compiler vectorises for the processor at hand, and functions that are safe inside them.

#include <bit>
#include <cstdint>

#include "base/clones.h"
#include "tensor/bf16.h"

namespace hadal {

// Vectors for loops with too few trips for the compiler's own. Not longer: the compiler splits what the plainest clone
// has no register for before it makes the other clones.
using Floats4 [[gnu::vector_size(16)]] = float;
using Ints4 [[gnu::vector_size(16)]] = std::int32_t;
using UnsignedInts4 [[gnu::vector_size(16)]] = std::uint32_t;
using Halves4 [[gnu::vector_size(8)]] = std::uint16_t;

// Copies of `count` numbers as fp32, and back. bf16 numbers are best converted by these, a block at a time: loops that
// compute on both types are not vectorised, or half as wide.
[[gnu::always_inline]] inline void widen(const Bf16* __restrict from, std::int64_t count, float* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}
[[gnu::always_inline]] inline void narrow(const float* __restrict from, std::int64_t count, Bf16* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<Bf16>(from[i]);
}

// e^x within 2 units in the last place; 0 and infinity past the ends of fp32, NaN for NaN. Range reduction and
// polynomial as in S. L. Moshier's Cephes library (expf).
[[gnu::always_inline]] inline float fast_exp(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n ln 2, in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float y = (p * (r * r) + r) + 1.0f;
  // 2^n in two factors, since n may be past the exponents of fp32.
  const std::int32_t power = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRound);
  const std::int32_t half = power >> 1;
  const auto power_of_two = [](std::int32_t e) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
  };
  return y * power_of_two(half) * power_of_two(power - half);
}

// The natural logarithm of x >= 2^-126 within 2 units in the last place. As in Cephes (logf).
[[gnu::always_inline]] inline float fast_log(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  // x = m 2^e with sqrt(1/2) <= m < sqrt(2)
  const std::uint32_t shifted = bits - 0x3f3504f3u;
  const auto e = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float r = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float z = r * r;
  float p = 7.0376836292e-2f;
  p = p * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  const float y = p * r * z - 2.12194440e-4f * e - 0.5f * z;
  return (r + y) + 0.693359375f * e;
}

// x^(-1/4) for x > 0 that is normal: within 4 units in the last place after 3 steps of Newton's iteration for r^-4 = x
// from an estimate out of the exponent, within 1.5e-5 after 2, a hundredth of what bf16 tells apart.
template <int kSteps = 3>
[[gnu::always_inline]] inline float inverse_fourth_root(float x) {
  constexpr std::uint32_t kEstimate = 1331185664;  // 5/4 (127 - 0.045) 2^23
  float r = std::bit_cast<float>(kEstimate - (std::bit_cast<std::uint32_t>(x) >> 2));
  for (int i = 0; i < kSteps; ++i) {
    const float square = r * r;
    r = r * (1.25f - 0.25f * (x * (square * square)));
  }
  return r;
}

[[gnu::always_inline]] inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

// Cephes (tanhf): a polynomial near 0, the exponential elsewhere; both are computed, one is picked.
[[gnu::always_inline]] inline float fast_tanh(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const float a = std::bit_cast<float>(bits & 0x7fffffffu);
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float far = 1.0f - 2.0f / (fast_exp(a + a) + 1.0f);
  const float far_signed = std::bit_cast<float>(std::bit_cast<std::uint32_t>(far) | (bits & 0x80000000u));
  return a < 0.625f ? near : far_signed;
}

}  // namespace hadal
