#pragma once
// Restricted Boltzmann machines, trained by contrastive divergence, as initial weights of sigmoid layers (Hinton,
// Osindero, Teh, "A fast learning algorithm for deep belief nets", Neural Computation 18, 2006; Hinton, "A practical
// guide to training restricted Boltzmann machines", 2010).

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace hadal {

// Units that are hidden and seen, and weights between them: [hidden, visible], row-major, as a fully-connected layer's.
struct Rbm {
  std::int64_t visible = 0, hidden = 0;
  bool gaussian = false;  // visible units are real numbers of variance 1; else probabilities
  std::vector<float> weights, hidden_bias, visible_bias;

  // The probabilities that hidden units are on: [rows, hidden].
  std::vector<float> hidden_of(std::span<const float> rows, int threads = 1) const;
};

// Rows that are read by their numbers, [rows.size(), visible] at a time.
struct RbmRows {
  std::int64_t count = 0;
  std::function<void(std::span<const std::int64_t> rows, std::span<float> values)> read;
};

struct RbmTraining {
  std::int64_t hidden = 0, epochs = 5, batch = 128;
  bool gaussian = false;
  double rate = 0.02, momentum = 0.9, weight_decay = 0.0002;
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // machines of one network draw other numbers
  int threads = 1;          // the result does not depend on it
  // After each epoch: its number from 0, and the mean square of what was not reconstructed, of a visible unit.
  std::function<void(std::int64_t epoch, double error)> report = {};
};

// CD-1: hidden units are drawn once from the data, the visible ones are their means. Throws DataError where the weights
// leave the finite numbers.
Rbm train_rbm(const RbmRows& rows, std::int64_t visible, const RbmTraining& training);

}  // namespace hadal
