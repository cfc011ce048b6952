#include "speech/recording_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace hadal {
namespace {

constexpr double kRate = 16'000;

// A second of a tone that comes and goes, so loud.
std::vector<float> tone(float loudness) {
  std::vector<float> samples;
  for (int i = 0; i < 16'000; ++i) {
    const auto t = static_cast<float>(i) / 16'000.0f;
    samples.push_back(loudness * std::sin(2765.0f * t) * (0.01f + std::abs(std::sin(6.0f * t))));
  }
  return samples;
}

TEST(RecordingCheck, finds_no_fault_with_a_voice) {
  const RecordingCheck check = check_recording(tone(8000), kRate);
  EXPECT_FALSE(check.is_silent());
  EXPECT_FALSE(check.is_clipped());
}

TEST(RecordingCheck, knows_silence_and_steady_noise) {
  EXPECT_TRUE(check_recording(std::vector<float>(16'000, 0.0f), kRate).is_silent());
  EXPECT_TRUE(check_recording(tone(10), kRate).is_silent());
  std::vector<float> noise;
  const RandomSequence random(1, RandomUse::synthetic, 0);
  for (std::uint64_t i = 0; i < 16'000; ++i) noise.push_back(1000 * random.normal(i));
  EXPECT_TRUE(check_recording(noise, kRate).is_silent());
  EXPECT_TRUE(check_recording({}, kRate).is_silent());
}

TEST(RecordingCheck, knows_clipping) {
  std::vector<float> loud = tone(80'000);
  for (float& sample : loud) sample = std::min(32767.0f, std::max(-32768.0f, sample));
  EXPECT_TRUE(check_recording(loud, kRate).is_clipped());
  EXPECT_FALSE(check_recording(loud, kRate).is_silent());
}

}  // namespace
}  // namespace hadal
