// A hundred million frames, within 2 GB of memory, at the speed of data in memory. Long: runs with HADAL_LONG_TESTS=1,
// where the disk has room for it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "data/npy_writer.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using testing::Command;
using testing::Workplace;

constexpr std::int64_t kFrames = 100'000'000, kElements = 40, kShards = 100, kClasses = 100;
constexpr std::int64_t kMemoryBytes = 2'000'000'000;
constexpr std::chrono::seconds kTime{60};
constexpr int kPairs = 7;

constexpr const char* kJob = R"(name: large
network:
  input: [440]
  layers:
    - fully_connected: {out: 512}
    - relu
    - fully_connected: {out: 512}
    - relu
    - fully_connected: {out: 100}
data:
  train: {npy: {features: "features-*.npy", labels: "labels-*.npy", utterances: "utterances-*.npy", splice: {left: 5, right: 5}}}
  batch: 256
solver: {epochs: 1000, rule: {sgd: {rate: 0.001}}}
checkpoint: {every_steps: 0}
)";

// Frames of random numbers, the same few megabytes over and over with other labels.
template <class T>
void write_corpus(const Workplace& place, T (*value)(const RandomSequence&, std::uint64_t)) {
  constexpr std::int64_t kShard = kFrames / kShards, kPiece = kShard / 20;
  const RandomSequence random(1, RandomUse::synthetic, 6);
  std::vector<T> piece;
  for (std::uint64_t i = 0; i < kPiece * kElements; ++i) piece.push_back(value(random, i));
  std::vector<std::uint8_t> labels;
  for (std::uint64_t i = 0; i < kShard; ++i) {
    labels.push_back(static_cast<std::uint8_t>(random.below(1'000'000'000 + i, kClasses)));
  }
  for (std::int64_t s = 0; s < kShards; ++s) {
    std::ofstream file(place.path(fmt::format("features-{}.npy", s)), std::ios::binary);
    file << npy_header(npy_type<T>(), {kShard, kElements});
    for (std::int64_t i = 0; i < kShard / kPiece; ++i) file << bytes_of_values(piece);
    ASSERT_TRUE(file.flush()) << "the disk is full";
    place.write(fmt::format("labels-{}.npy", s), npy_bytes({kShard}, labels));
    place.write(fmt::format("utterances-{}.npy", s),
                npy_bytes({kShard / 500}, std::vector<std::int32_t>(kShard / 500, 500)));
  }
}

std::int64_t peak_memory_bytes(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string word; status >> word;) {
    std::int64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return 1024 * kilobytes;
  }
  return 0;
}

struct Trained {
  double samples_per_second = 0;
  std::int64_t peak_bytes = 0;
  nlohmann::json summary;
};

// Trains for a time and is stopped.
Trained train(const Workplace& place, const std::string& run, std::chrono::seconds time,
              const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"train", "job.yaml", "--json", "--out", run};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Command command(place.path(), arguments);
  Trained trained;
  const auto end = std::chrono::steady_clock::now() + time;
  while (command.running() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    trained.peak_bytes = std::max(trained.peak_bytes, peak_memory_bytes(command.process()));
  }
  command.kill(SIGINT);
  const testing::CommandResult result = command.wait();
  EXPECT_EQ(result.exit_code, 5) << result.err;
  trained.summary = place.summary(run);
  trained.samples_per_second = trained.summary["samples_per_second"];
  return trained;
}

TEST(LargeCorpus, trains_at_the_speed_of_memory_within_2_gb) {
  if (std::getenv("HADAL_LONG_TESTS") == nullptr) GTEST_SKIP() << "HADAL_LONG_TESTS=1 (the test takes minutes)";
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer keeps memory of its own";
#endif
  const Workplace place;
  place.write("job.yaml", kJob);
  // As fp32 where the disk has room for it and as much again, else as bytes.
  const auto free_bytes = static_cast<std::int64_t>(fs::space(place.path()).available);
  const std::int64_t numbers = kFrames * kElements;
  if (free_bytes < 2 * numbers) GTEST_SKIP() << "the disk has no room for " << numbers << " bytes";
  const bool floats = free_bytes > 2 * 4 * numbers;
  if (floats) {
    write_corpus<float>(place, [](const RandomSequence& random, std::uint64_t i) { return random.normal(i); });
  } else {
    write_corpus<std::uint8_t>(place, [](const RandomSequence& random, std::uint64_t i) {
      return static_cast<std::uint8_t>(random.below(i, 256));
    });
  }
  const std::vector<std::string> in_memory{"--set", "data.train={synthetic: {samples: 1000000, classes: 100}}"};
  const Trained streamed = train(place, "streamed", kTime, {});
  EXPECT_EQ(streamed.summary["total_steps"], 1000 * ((kFrames + 255) / 256));
  EXPECT_LT(streamed.peak_bytes, kMemoryBytes);
  const double seconds = streamed.summary["train_seconds"];
  const double waited = streamed.summary["devices"][0]["input_wait_seconds"];
  EXPECT_LT(waited, 0.02 * seconds);

  // By turns, so that what else the machine does meets both.
  std::vector<double> ratios;
  for (int i = 0; i < kPairs; ++i) {
    const Trained memory = train(place, fmt::format("memory{}", i), kTime / 10, in_memory);
    ratios.push_back(train(place, fmt::format("streamed{}", i), kTime / 10, {}).samples_per_second /
                     memory.samples_per_second);
  }
  std::sort(ratios.begin(), ratios.end());
  const double ratio = ratios[kPairs / 2];
  fmt::print(
      "{} frames of 40 {}: {:.0f} samples/s, peak {:.2f} GB, {:.2f} of {:.0f} s waited for; {:.3f} of the speed in "
      "memory ({:.3f} to {:.3f})\n",
      kFrames, floats ? "f32" : "u8", streamed.samples_per_second, static_cast<double>(streamed.peak_bytes) * 1e-9,
      waited, seconds, ratio, ratios.front(), ratios.back());
  EXPECT_GT(ratio, 0.95);
}

}  // namespace
}  // namespace hadal
