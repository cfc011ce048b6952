#include "speech/audio_file.h"

#include <fmt/format.h>
#include <samplerate.h>
#include <sndfile.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/printable.h"
#include "base/thousands.h"

namespace hadal {

namespace {

constexpr std::size_t kMostSamples = std::size_t{1} << 28;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 31;
constexpr double kFullScale = 32768, kLowestRate = 1000, kHighestRate = 384000;

// Bytes in memory as libsndfile reads a file, of which some are others there. Of a WAV file it sees one format and the
// samples only: other chunks, and sizes that say too much, can lead it to read without end.
struct MemoryFile {
  struct Patch {
    std::size_t at = 0;
    std::array<char, 4> bytes{};
  };

  std::span<const std::byte> bytes;
  std::vector<Patch> patches;  // rising, apart from each other
  sf_count_t position = 0;

  static sf_count_t length(void* self) { return static_cast<sf_count_t>(static_cast<MemoryFile*>(self)->bytes.size()); }
  static sf_count_t seek(sf_count_t offset, int from, void* self) {
    auto& file = *static_cast<MemoryFile*>(self);
    const sf_count_t base = from == SEEK_SET ? 0 : from == SEEK_CUR ? file.position : length(self);
    sf_count_t target = 0;
    if (__builtin_add_overflow(base, offset, &target)) return -1;
    return file.position = std::clamp<sf_count_t>(target, 0, length(self));
  }
  static sf_count_t read(void* to, sf_count_t count, void* self) {
    auto& file = *static_cast<MemoryFile*>(self);
    const sf_count_t got = std::clamp<sf_count_t>(count, 0, length(self) - file.position);
    if (got > 0) std::memcpy(to, file.bytes.data() + file.position, static_cast<std::size_t>(got));
    if (got > 0) file.patch(static_cast<char*>(to), static_cast<std::size_t>(got));
    file.position += got;
    return got;
  }
  void patch(char* to, std::size_t count) const {
    const auto begin = static_cast<std::size_t>(position);
    auto next = std::lower_bound(patches.begin(), patches.end(), begin,
                                 [](const Patch& one, std::size_t at) { return one.at + one.bytes.size() <= at; });
    for (; next != patches.end() && next->at < begin + count; ++next) {
      for (std::size_t i = 0; i < next->bytes.size(); ++i) {
        if (next->at + i >= begin && next->at + i < begin + count) to[next->at + i - begin] = next->bytes[i];
      }
    }
  }
  static sf_count_t write(const void*, sf_count_t, void*) { return 0; }
  static sf_count_t tell(void* self) { return static_cast<MemoryFile*>(self)->position; }
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t riff_size(std::string_view bytes, bool big_endian) {
  std::uint32_t size = 0;
  for (int i = 0; i < 4; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    size |= std::uint32_t{byte} << (big_endian ? 24 - 8 * i : 8 * i);
  }
  return size;
}

std::array<char, 4> riff_bytes(std::uint32_t size, bool big_endian) {
  std::array<char, 4> bytes{};
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<char>(size >> (big_endian ? 24 - 8 * i : 8 * i) & 255);
  return bytes;
}

// What of a WAV file libsndfile sees. It takes what is there of one that was cut; the header says how much there should
// be.
MemoryFile check_whole_wav(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text = text_of(bytes);
  MemoryFile seen{bytes, {}};
  constexpr std::uint32_t kStreamed = 0x7ffff000;  // programs that write to a pipe leave such sizes, or 0
  const bool big_endian = text.starts_with("RIFX");
  std::size_t at = 12;
  bool has_format = false;
  while (at + 8 <= text.size()) {
    const std::string_view name = text.substr(at, 4);
    const std::uint32_t size = riff_size(text.substr(at + 4, 4), big_endian);
    const std::size_t begin = at + 8, left = text.size() - begin;
    if (name == "data") {
      if (size > left && size < kStreamed) {
        throw DataError(fmt::format("{}: ends after {} of {} bytes of its samples", file, with_thousands(left),
                                    with_thousands(size)));
      }
      const bool known = size > 0 && size <= left;  // else the samples go on to the end
      if (known) seen.bytes = bytes.first(std::min(bytes.size(), begin + size + (size & 1)));
      if (!known && !text.starts_with("RF64")) {
        seen.patches.push_back({at + 4, riff_bytes(static_cast<std::uint32_t>(left), big_endian)});
      }
      return seen;
    }
    if (size > left) break;
    const bool passed_over = (name != "fmt " || has_format) && name != "fact" && name != "ds64";
    has_format = has_format || name == "fmt ";
    if (passed_over) seen.patches.push_back({at, {'P', 'A', 'D', ' '}});
    at = begin + size + (size & 1);
  }
  throw DataError(file, std::min(at, text.size()), "the WAV file has no samples (no chunk 'data')");
}

MemoryFile check_kind(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text = text_of(bytes);
  if (text.empty()) throw DataError(file + ": is empty; a WAV or FLAC file is expected");
  const bool riff = text.starts_with("RIFF") || text.starts_with("RIFX") || text.starts_with("RF64");
  if (riff && text.size() >= 12 && text.substr(8, 4) == "WAVE") return check_whole_wav(bytes, file);
  if (text.starts_with("fLaC")) return {bytes, {}};
  throw DataError(
      file, 0,
      "is neither a WAV nor a FLAC file, and others are not read; convert it first: ffmpeg -i FILE out.wav; "
      "where it has samples and no header, say what they are: ffmpeg -f s16le -ar RATE -ac CHANNELS -i FILE "
      "out.wav");
}

struct CloseSound {
  void operator()(SNDFILE* sound) const { sf_close(sound); }
};

// All frames as one channel, and how loud the channels are: sums of squares, where full scale is 1.
struct OneChannel {
  std::vector<float> samples;
  double energy = 0;
  std::vector<double> energies;  // of each channel of the file

  // The channels take each other away, as those of a microphone whose second wire is turned around do.
  bool is_cancelled() const {
    constexpr double kLeastShare = 0.01;  // 64 channels of which one speaks have more
    const double sum = std::accumulate(energies.begin(), energies.end(), 0.0);
    return energies.size() > 1 && energy < kLeastShare * sum / static_cast<double>(energies.size());
  }
};

// The average of the channels, or one of them. The header's count of frames is believed only where it is too large.
OneChannel read_mono(SNDFILE* sound, const SF_INFO& info, const std::string& file, std::optional<std::size_t> only) {
  const auto channels = static_cast<std::size_t>(info.channels);
  OneChannel mono{{}, 0, std::vector<double>(channels)};
  std::vector<float>& samples = mono.samples;
  constexpr std::size_t kBlock = 16384;
  std::vector<float> block(kBlock * channels);
  for (;;) {
    const sf_count_t got = sf_readf_float(sound, block.data(), kBlock);
    if (got <= 0) break;
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(got); ++frame) {
      double sum = 0;
      for (std::size_t c = 0; c < channels; ++c) {
        const auto value = static_cast<double>(block[frame * channels + c]);
        mono.energies[c] += value * value;
        if (!only || *only == c) sum += value;
      }
      const double mixed = only ? sum : sum / static_cast<double>(channels);
      mono.energy += mixed * mixed;
      const double sample = mixed * kFullScale;
      if (!std::isfinite(static_cast<float>(sample))) {
        throw DataError(fmt::format("{}: sample {} is not a finite number", file, samples.size()));
      }
      samples.push_back(static_cast<float>(sample));
    }
    if (samples.size() > kMostSamples) {
      throw DataError(
          fmt::format("{}: has more than {} samples; cut it into utterances", file, with_thousands(kMostSamples)));
    }
  }
  const auto expected = static_cast<std::uint64_t>(std::max<sf_count_t>(info.frames, 0));
  if (sf_error(sound) != SF_ERR_NO_ERROR || (info.frames < SF_COUNT_MAX && samples.size() < expected)) {
    throw DataError(fmt::format("{}: is damaged behind sample {} of {}", file, with_thousands(samples.size()),
                                with_thousands(expected)));
  }
  return mono;
}

void little_endian(std::string& text, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
}

}  // namespace

Audio decode_audio(std::span<const std::byte> bytes, const std::string& file, double rate) {
  MemoryFile memory = check_kind(bytes, file);
  SF_VIRTUAL_IO access{MemoryFile::length, MemoryFile::seek, MemoryFile::read, MemoryFile::write, MemoryFile::tell};
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, CloseSound> sound(sf_open_virtual(&access, SFM_READ, &info, &memory));
  if (sound == nullptr) {
    throw DataError(file + ": cannot be decoded: " + printable(sf_strerror(nullptr)));
  }
  if (info.samplerate < kLowestRate || info.samplerate > kHighestRate) {
    throw DataError(
        fmt::format("{}: has {} samples a second; rates from 1,000 to 384,000 are read", file, info.samplerate));
  }
  if (info.channels < 1 || info.channels > 64) {
    throw DataError(fmt::format("{}: has {} channels; 1 to 64 are read", file, info.channels));
  }
  OneChannel mono = read_mono(sound.get(), info, file, {});
  const bool cancelled = mono.is_cancelled();
  if (cancelled) {
    sf_seek(sound.get(), 0, SEEK_SET);
    mono = read_mono(sound.get(), info, file, 0);
  }
  Audio audio{static_cast<double>(info.samplerate), std::move(mono.samples), cancelled};
  if (audio.samples.empty()) throw DataError(file + ": holds no samples");
  if (rate > 0 && rate != audio.rate) {
    const double ratio = rate / audio.rate;
    if (src_is_valid_ratio(ratio) == 0) {
      throw DataError(fmt::format("{}: {} samples a second cannot become {}: one is more than 256 times the other",
                                  file, info.samplerate, rate));
    }
    if (static_cast<double>(audio.samples.size()) * ratio > static_cast<double>(kMostSamples)) {
      throw DataError(fmt::format("{}: has more than {} samples at {} Hz; cut it into utterances", file,
                                  with_thousands(kMostSamples), rate));
    }
    audio.samples = resample(audio.samples, ratio);
    audio.rate = rate;
  }
  return audio;
}

Audio read_audio(const std::string& path, double rate, const Position& where) {
  const std::string bytes = read_file(path, kMostBytes, where);
  return decode_audio(std::as_bytes(std::span(bytes)), path, rate);
}

std::vector<float> resample(std::span<const float> samples, double ratio) {
  if (ratio == 1 || samples.empty()) return {samples.begin(), samples.end()};
  HADAL_CHECK(src_is_valid_ratio(ratio) != 0);
  std::vector<float> result(static_cast<std::size_t>(std::ceil(static_cast<double>(samples.size()) * ratio)) + 1);
  SRC_DATA data{};
  data.data_in = samples.data();
  data.input_frames = static_cast<long>(samples.size());
  data.data_out = result.data();
  data.output_frames = static_cast<long>(result.size());
  data.src_ratio = ratio;
  const int error = src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1);
  if (error != 0) throw DataError(std::string("cannot be resampled: ") + src_strerror(error));
  // As many as the time has room for, however the filter rounds.
  result.resize(static_cast<std::size_t>(data.output_frames_gen));
  result.resize(
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(static_cast<double>(samples.size()) * ratio))));
  return result;
}

std::string wav_bytes(const Audio& audio) {
  const auto bytes = static_cast<std::uint32_t>(2 * audio.samples.size());
  const auto rate = static_cast<std::uint32_t>(std::lround(audio.rate));
  std::string text = "RIFF";
  little_endian(text, 36 + bytes, 4);
  text += "WAVEfmt ";
  little_endian(text, 16, 4);
  little_endian(text, 1, 2);  // PCM
  little_endian(text, 1, 2);  // a channel
  little_endian(text, rate, 4);
  little_endian(text, 2 * rate, 4);
  little_endian(text, 2, 2);
  little_endian(text, 16, 2);
  text += "data";
  little_endian(text, bytes, 4);
  for (const float sample : audio.samples) {
    const auto value = static_cast<std::int16_t>(std::lround(std::clamp(sample, -32768.0f, 32767.0f)));
    little_endian(text, static_cast<std::uint16_t>(value), 2);
  }
  return text;
}

void write_wav(const std::string& path, const Audio& audio) { write_file(path, wav_bytes(audio)); }

}  // namespace hadal
