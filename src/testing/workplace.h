#pragma once
// A folder to run the command in: generated IDX data and jobs. Nothing in it comes from outside.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "data/idx_writer.h"
#include "testing/command.h"

namespace hadal::testing {

inline constexpr std::uint32_t kClasses = 10;

// Pixels of `count` square images: each class is a pattern of 4 x 4 blocks, under noise that `seed` decides. Sample i
// is of class labels[i].
inline std::string pattern_pixels(const std::string& labels, std::uint32_t side, std::uint64_t seed) {
  const RandomSequence pattern(77, RandomUse::synthetic, 0), noise(seed, RandomUse::synthetic, 1);
  std::string pixels;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    for (std::uint32_t y = 0; y < side; ++y) {
      for (std::uint32_t x = 0; x < side; ++x) {
        const auto label = static_cast<std::uint64_t>(static_cast<unsigned char>(labels[i]));
        const bool bright = pattern.below((label * 64 + y / 4) * 64 + x / 4, 2) == 1;
        pixels += static_cast<char>((bright ? 120 : 0) + noise.below((i * side + y) * side + x, 130));
      }
    }
  }
  return pixels;
}

inline std::string pattern_labels(std::uint32_t count, std::uint64_t seed) {
  const RandomSequence random(seed, RandomUse::synthetic, 2);
  std::string labels;
  for (std::uint32_t i = 0; i < count; ++i) labels += static_cast<char>(random.below(i, kClasses));
  return labels;
}

class Workplace : public TemporaryFolder {
 public:
  // NAME-images-idx3-ubyte and NAME-labels-idx1-ubyte.
  void write_data(const std::string& name, std::uint32_t count, std::uint32_t side, std::uint64_t seed) const {
    const std::string labels = pattern_labels(count, seed);
    write(name + "-images-idx3-ubyte", idx_bytes({count, side, side}, pattern_pixels(labels, side, seed)));
    write(name + "-labels-idx1-ubyte", idx_bytes({count}, labels));
  }

  CommandResult hadal(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& environment = {}) const {
    return Command(path(), arguments, environment).wait();
  }

  bool has(const std::string& name) const { return std::filesystem::exists(path(name)); }
  std::string read(const std::string& name) const { return contents(path(name)); }
  nlohmann::json summary(const std::string& run) const { return nlohmann::json::parse(read(run + "/summary.json")); }
  std::string sha256(const std::string& run) const { return summary(run).at("model_sha256"); }

  // Names, oldest first.
  std::vector<std::string> checkpoints(const std::string& run) const {
    std::vector<std::string> names;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(path(run + "/checkpoints"), none)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

// The job most tests start from, 40 steps of 12 x 12 images: what a test changes it gives as --set. The last batch of
// an epoch is shorter than the others.
inline constexpr const char* kSmallJob = R"(name: small
seed: 3
network:
  input: [1, 12, 12]
  layers:
    - conv: {name: stem, out: 4, kernel: 3}
    - max_pool: {kernel: 2}
    - relu
    - fully_connected: {name: hidden, out: 24}
    - relu
    - dropout: {p: 0.2}
    - fully_connected: {name: logits, out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 12
solver:
  epochs: 4
  rule: {sgd: {rate: 0.05, momentum: 0.9}}
checkpoint: {every_steps: 5, keep: 3}
reproducible: true
)";
inline constexpr int kSmallJobSteps = 40;

class SmallWorkplace : public Workplace {
 public:
  SmallWorkplace() {
    write_data("train", 115, 12, 1);
    write_data("test", 30, 12, 2);
    write("job.yaml", kSmallJob);
  }
};

}  // namespace hadal::testing
