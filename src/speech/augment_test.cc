#include "speech/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<float> hum(double hz, std::size_t count = 16000) {
  std::vector<float> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    samples[i] = static_cast<float>(6000 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / 16000));
  }
  return samples;
}

// By crossings of zero, in the middle.
double pitch_of(const std::vector<float>& samples) {
  const std::size_t begin = samples.size() / 5, end = 4 * begin;
  int crossings = 0;
  for (std::size_t i = begin; i < end; ++i) crossings += samples[i] < 0 && samples[i + 1] >= 0 ? 1 : 0;
  return 16000.0 * crossings / static_cast<double>(end - begin);
}

double loudness(const std::vector<float>& samples) {
  double sum = 0;
  for (const float x : samples) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum / static_cast<double>(samples.size()));
}

TEST(Augment, is_a_function_of_seed_copy_and_utterance) {
  const AugmentOptions options{.copies = 2,
                               .speed_low = 0.9,
                               .speed_high = 1.1,
                               .pitch_low = 0.9,
                               .pitch_high = 1.1,
                               .gain_db_low = -6,
                               .gain_db_high = 6,
                               .noise_db_low = 10,
                               .noise_db_high = 30};
  const auto sound = hum(200, 4000);
  const auto first = augment(sound, 16000, options, {7, 1, "utt"});
  EXPECT_EQ(augment(sound, 16000, options, {7, 1, "utt"}), first);
  EXPECT_NE(augment(sound, 16000, options, {8, 1, "utt"}), first);
  EXPECT_NE(augment(sound, 16000, options, {7, 2, "utt"}), first);
  EXPECT_NE(augment(sound, 16000, options, {7, 1, "uttt"}), first);
  double low = 2, high = 0;
  for (int i = 0; i < 200; ++i) {
    const AugmentDraw draw = draw_augmentation(options, {7, 1, std::to_string(i)});
    low = std::min(low, draw.speed);
    high = std::max(high, draw.speed);
  }
  EXPECT_GE(low, 0.9);
  EXPECT_LT(low, 0.91);
  EXPECT_LE(high, 1.1);
  EXPECT_GT(high, 1.09);
}

TEST(Augment, nothing_asked_nothing_done) {
  const auto sound = hum(200);
  EXPECT_EQ(augment(sound, 16000, {}, {1, 1, "a"}), sound);
}

TEST(Augment, speed_changes_length_and_pitch) {
  const auto fast = augment(hum(200), 16000, {.speed_low = 1.25, .speed_high = 1.25}, {});
  EXPECT_EQ(fast.size(), 12800U);
  EXPECT_NEAR(pitch_of(fast), 250, 3);
}

TEST(Augment, pitch_keeps_the_length) {
  for (const double factor : {0.8, 1.25}) {
    const auto sung = augment(hum(200), 16000, {.pitch_low = factor, .pitch_high = factor}, {});
    EXPECT_EQ(sung.size(), 16000U);
    EXPECT_NEAR(pitch_of(sung), 200 * factor, 4);
    EXPECT_NEAR(loudness(sung) / loudness(hum(200)), 1, 0.1);
  }
}

TEST(Augment, stretch_keeps_the_pitch) {
  const auto slow = stretch(hum(310), 16000, 1.5);
  EXPECT_EQ(slow.size(), 24000U);
  EXPECT_NEAR(pitch_of(slow), 310, 5);
}

TEST(Augment, gain_and_noise_are_as_loud_as_said) {
  const auto sound = hum(200);
  EXPECT_NEAR(loudness(augment(sound, 16000, {.gain_db_low = -20, .gain_db_high = -20}, {})) / loudness(sound), 0.1,
              1e-4);
  const auto noisy = augment(sound, 16000, {.noise_db_low = 10, .noise_db_high = 10}, {});
  std::vector<float> noise(sound.size());
  std::transform(noisy.begin(), noisy.end(), sound.begin(), noise.begin(), std::minus());
  EXPECT_NEAR(20 * std::log10(loudness(sound) / loudness(noise)), 10, 0.2);
  const auto loud = augment(sound, 16000, {.gain_db_low = 40, .gain_db_high = 40}, {});
  EXPECT_EQ(*std::max_element(loud.begin(), loud.end()), 32767);
}

TEST(Augment, silence_stays_silent) {
  const std::vector<float> silence(5000);
  const AugmentOptions options{.pitch_low = 1.1, .pitch_high = 1.1, .noise_db_low = 10, .noise_db_high = 20};
  EXPECT_EQ(augment(silence, 16000, options, {}), silence);
  EXPECT_EQ(augment(std::vector<float>(3, 1.0f), 16000, options, {}).size(), 3U);
}

TEST(Augment, ranges_are_checked) {
  EXPECT_THAT([] { check(AugmentOptions{.speed_low = 1.2, .speed_high = 1.1}); },
              ThrowsMessage<ConfigError>(HasSubstr("augment.speed: [1.2, 1.1] is not a range")));
  EXPECT_THAT([] { check(AugmentOptions{.pitch_low = 0, .pitch_high = 1}); },
              ThrowsMessage<ConfigError>(HasSubstr("augment.pitch")));
}

}  // namespace
}  // namespace hadal
