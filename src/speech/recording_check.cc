#include "speech/recording_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hadal {

namespace {

constexpr double kPieceSeconds = 0.025, kLargest = 32'768, kQuietest = -120;  // dB of nothing at all
constexpr float kLimit = 32'766;
constexpr std::size_t kRun = 3;

double decibel(std::span<const float> piece) {
  double sum = 0;
  for (const float sample : piece) sum += static_cast<double>(sample) * static_cast<double>(sample);
  const double power = sum / static_cast<double>(piece.size()) / (kLargest * kLargest);
  return power > 0 ? std::max(kQuietest, 10 * std::log10(power)) : kQuietest;
}

double clipped_share(std::span<const float> samples) {
  std::size_t clipped = 0, run = 0;
  for (std::size_t i = 0; i <= samples.size(); ++i) {
    if (i < samples.size() && std::abs(samples[i]) >= kLimit) {
      ++run;
    } else {
      clipped += run >= kRun ? run : 0;
      run = 0;
    }
  }
  return static_cast<double>(clipped) / static_cast<double>(samples.size());
}

}  // namespace

RecordingCheck check_recording(std::span<const float> samples, double rate) {
  RecordingCheck check;
  if (samples.empty()) return {kQuietest, 0, 0};
  const auto length = std::clamp<std::size_t>(static_cast<std::size_t>(kPieceSeconds * rate), 1, samples.size());
  std::vector<double> levels;
  for (std::size_t first = 0; first + length <= samples.size(); first += length) {
    levels.push_back(decibel(samples.subspan(first, length)));
  }
  std::ranges::sort(levels);
  const std::size_t twentieth = levels.size() / 20;
  check.loudest_db = levels.back();
  check.range_db = levels[levels.size() - 1 - twentieth] - levels[twentieth];
  check.clipped = clipped_share(samples);
  return check;
}

}  // namespace hadal
