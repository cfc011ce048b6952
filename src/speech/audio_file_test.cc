#include "speech/audio_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;

// A file as another program would write it.
std::string sound_file(const std::string& path, int format, int rate, int channels, const std::vector<float>& values) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  EXPECT_NE(file, nullptr) << sf_strerror(nullptr);
  sf_writef_float(file, values.data(), static_cast<sf_count_t>(values.size()) / channels);
  sf_close(file);
  return path;
}

std::vector<float> wave(double hz, double rate, std::size_t count, double size) {
  std::vector<float> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    samples[i] = static_cast<float>(size * std::cos(2 * std::numbers::pi * hz * static_cast<double>(i) / rate));
  }
  return samples;
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(AudioFile, wav_and_flac_have_the_size_of_16_bits) {
  const testing::TemporaryFolder folder;
  const std::vector<float> values{0, 0.5f, -0.25f, -0.75f, 0.125f};
  const std::vector<float> expected{0, 16384, -8192, -24576, 4096};
  int n = 0;
  for (const int format :
       {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_PCM_24, SF_FORMAT_WAV | SF_FORMAT_FLOAT,
        SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_RF64 | SF_FORMAT_PCM_16, SF_FORMAT_WAVEX | SF_FORMAT_PCM_32}) {
    const Audio audio = read_audio(sound_file(folder.path(std::to_string(n++)), format, 8000, 1, values), 0);
    EXPECT_EQ(audio.rate, 8000);
    EXPECT_THAT(audio.samples, Pointwise(FloatNear(1.01f), expected)) << std::hex << format;
  }
}

TEST(AudioFile, stereo_is_mixed) {
  const testing::TemporaryFolder folder;
  const auto path =
      sound_file(folder.path("a.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 2, {0.5f, 0, 0.25f, -0.25f});
  EXPECT_EQ(read_audio(path, 0).samples, (std::vector<float>{8192, 0}));
}

TEST(AudioFile, of_channels_that_cancel_each_other_the_first_is_taken) {
  const testing::TemporaryFolder folder;
  for (const int format : {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16}) {
    const auto audio = [&](const std::vector<float>& values, int channels) {
      return read_audio(sound_file(folder.path("a"), format, 16000, channels, values), 0);
    };
    const Audio opposite = audio({0.5f, -0.5f, 0.25f, -0.26f}, 2);
    EXPECT_TRUE(opposite.cancelled);
    EXPECT_EQ(opposite.samples, (std::vector<float>{16384, 8192}));
    EXPECT_FALSE(audio({0.5f, 0, 0.25f, 0}, 2).cancelled);
    EXPECT_FALSE(audio({0, 0, 0, 0}, 2).cancelled);
    EXPECT_FALSE(audio({0.5f, 0, 0, 0, 0, 0, 0, 0, 0.25f, 0, 0, 0, 0, 0, 0, 0}, 8).cancelled);
  }
}

TEST(AudioFile, another_rate_is_the_same_tone) {
  const testing::TemporaryFolder folder;
  write_wav(folder.path("a.wav"), {8000, wave(440, 8000, 4000, 10000)});
  const Audio audio = read_audio(folder.path("a.wav"), 16000);
  EXPECT_EQ(audio.rate, 16000);
  ASSERT_EQ(audio.samples.size(), 8000U);
  const auto expected = wave(440, 16000, 8000, 10000);
  for (std::size_t i = 500; i < 7500; ++i) ASSERT_NEAR(audio.samples[i], expected[i], 100) << i;
  const std::vector<float> down = resample(wave(440, 44100, 44100, 10000), 16000 / 44100.0);
  ASSERT_EQ(down.size(), 16000U);
  const auto wanted = wave(440, 16000, 16000, 10000);
  for (std::size_t i = 500; i < 15500; ++i) ASSERT_NEAR(down[i], wanted[i], 100) << i;
}

TEST(AudioFile, what_was_written_is_read) {
  const testing::TemporaryFolder folder;
  const std::vector<float> samples{1, -2, 32767, -32768, 0};
  write_wav(folder.path("a.wav"), {11025, samples});
  EXPECT_EQ(read_audio(folder.path("a.wav"), 0).samples, samples);
  write_wav(folder.path("b.wav"), {11025, {40000, -40000}});
  EXPECT_EQ(read_audio(folder.path("b.wav"), 0).samples, (std::vector<float>{32767, -32768}));
}

TEST(AudioFile, bad_files_are_told) {
  const std::string wav = wav_bytes({16000, std::vector<float>(100, 5.0f)});
  const auto refused = [](const std::string& bytes, const char* message) {
    EXPECT_THAT([&] { decode_audio(bytes_of(bytes), "a.wav", 16000); }, ThrowsMessage<DataError>(HasSubstr(message)));
  };
  refused("", "a.wav: is empty");
  refused("some text that is long enough to hold a header of some kind",
          "is neither a WAV nor a FLAC file, and others are not read; convert");
  refused(wav.substr(0, 100), "a.wav: ends after 56 of 200 bytes of its samples");
  refused(wav.substr(0, 30), "has no samples");
  refused(wav_bytes({16000, {}}), "holds no samples");
  refused(wav_bytes({100, {1, 2}}), "has 100 samples a second");
  EXPECT_THROW(read_audio("no_such_file.wav", 0), ConfigError);

  std::string streamed = wav;  // as a program leaves it that writes to a pipe
  streamed.replace(40, 4, "\xff\xff\xff\x7f");
  EXPECT_EQ(decode_audio(bytes_of(streamed), "a.wav", 0).samples.size(), 100U);
}

// libsndfile reads the list behind these samples without end: it must not see it.
TEST(AudioFile, other_chunks_are_passed_over) {
  const std::string wav = wav_bytes({16000, {1, 2, 3, 4, 5}});
  const std::string list = std::string("LIST\x7e\x04\0\0INF", 11) + std::string(50, '\xff');
  EXPECT_EQ(decode_audio(bytes_of(wav + list), "a.wav", 0).samples, (std::vector<float>{1, 2, 3, 4, 5}));
  std::string titled = wav;  // odd, so that a byte is filled in
  titled.insert(36, std::string("LIST\x13\0\0\0INFOINAM\7\0\0\0a title", 27) + '\0');
  titled.insert(12, std::string("bext\4\0\0\0\xff\xff\xff\xff", 12));
  EXPECT_EQ(decode_audio(bytes_of(titled), "a.wav", 0).samples, (std::vector<float>{1, 2, 3, 4, 5}));
}

TEST(AudioFile, a_cut_flac_file_is_told) {
  const testing::TemporaryFolder folder;
  std::vector<float> noise(40000);
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<float>(i * 7919 % 1000) / 1000 - 0.5f;
  const auto path = sound_file(folder.path("a.flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise);
  EXPECT_EQ(read_audio(path, 0).samples.size(), noise.size());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT([&] { read_audio(path, 0); }, ThrowsMessage<DataError>(HasSubstr("is damaged behind sample")));
}

TEST(AudioFile, a_float_that_is_not_finite_is_told) {
  const testing::TemporaryFolder folder;
  const auto path = sound_file(folder.path("a.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, {0, 1, NAN});
  EXPECT_THAT([&] { read_audio(path, 0); }, ThrowsMessage<DataError>(HasSubstr("sample 2 is not a finite number")));
}

}  // namespace
}  // namespace hadal
