#include "speech/rbm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "speech/matrix_product.h"

namespace hadal {

namespace {

// What the counter of a random number says it is for.
enum class Draw : std::uint32_t { weights = 0, order = 1, hidden = 2 };

constexpr double kFirstDeviation = 0.01;  // of the weights, as the guide has it

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

void add_bias_and_squash(std::vector<float>& rows, const std::vector<float>& bias, bool squash) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] += bias[i % bias.size()];
    if (squash) rows[i] = sigmoid(rows[i]);
  }
}

class BoltzmannMachine {
 public:
  BoltzmannMachine(const RbmRows& rows, std::int64_t visible, const RbmTraining& training)
      : rows_(rows), training_(training) {
    rbm_.visible = visible;
    rbm_.hidden = training.hidden;
    rbm_.gaussian = training.gaussian;
    const auto count = static_cast<std::size_t>(visible * training.hidden);
    rbm_.weights.resize(count);
    const RandomSequence random = sequence(Draw::weights);
    for (std::size_t i = 0; i < count; ++i) rbm_.weights[i] = static_cast<float>(kFirstDeviation) * random.normal(i);
    rbm_.hidden_bias.assign(static_cast<std::size_t>(training.hidden), 0);
    rbm_.visible_bias.assign(static_cast<std::size_t>(visible), 0);
    weight_step_.assign(count, 0);
    hidden_step_.assign(static_cast<std::size_t>(training.hidden), 0);
    visible_step_.assign(static_cast<std::size_t>(visible), 0);
    by_input_.resize(count);
    slope_.resize(count);
    other_slope_.resize(count);
  }

  Rbm train() {
    std::vector<std::int64_t> order(static_cast<std::size_t>(rows_.count));
    for (std::int64_t epoch = 0; epoch < training_.epochs; ++epoch) {
      shuffle(order, epoch);
      double error = 0;
      for (std::int64_t first = 0; first < rows_.count; first += training_.batch) {
        const std::int64_t count = std::min(training_.batch, rows_.count - first);
        error +=
            step(std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), epoch);
      }
      error /= static_cast<double>(rows_.count * rbm_.visible);
      if (!std::isfinite(error)) {
        throw DataError("network.pretrain: layer " + std::to_string(training_.layer + 1) + " diverged in epoch " +
                        std::to_string(epoch + 1) + "; a smaller network.rbm." +
                        (training_.gaussian ? "gaussian_rate" : "rate") + " may help");
      }
      if (training_.report) training_.report(epoch, error);
    }
    return std::move(rbm_);
  }

 private:
  RandomSequence sequence(Draw draw, std::int64_t epoch = 0) const {
    return {training_.seed, RandomUse::pretrain,
            static_cast<std::uint32_t>((epoch * 3 + static_cast<std::int64_t>(draw)) * 64 + training_.layer)};
  }

  // Fisher and Yates.
  void shuffle(std::vector<std::int64_t>& order, std::int64_t epoch) const {
    std::iota(order.begin(), order.end(), 0);
    const RandomSequence random = sequence(Draw::order, epoch);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
  }

  // Of a batch; the sum of the squares of what is not reconstructed.
  double step(std::span<const std::int64_t> batch, std::int64_t epoch) {
    const auto count = static_cast<std::int64_t>(batch.size()), visible = rbm_.visible, hidden = rbm_.hidden;
    const auto size = [&](std::int64_t units) { return static_cast<std::size_t>(count * units); };
    seen_.resize(size(visible));
    dreamt_.resize(size(visible));
    on_.resize(size(hidden));
    drawn_.resize(size(hidden));
    on_again_.resize(size(hidden));
    rows_.read(batch, seen_);
    transpose_into(rbm_.weights.data(), hidden, visible, by_input_.data());
    const auto upwards = [&](const std::vector<float>& from, std::vector<float>& to) {
      multiply({count, hidden, visible}, from.data(), by_input_.data(), to.data(), training_.threads);
      add_bias_and_squash(to, rbm_.hidden_bias, true);
    };
    upwards(seen_, on_);
    const RandomSequence random = sequence(Draw::hidden, epoch);
    for (std::size_t r = 0; r < batch.size(); ++r) draw_row(random, r, static_cast<std::uint64_t>(batch[r]));
    multiply({count, visible, hidden}, drawn_.data(), rbm_.weights.data(), dreamt_.data(), training_.threads);
    add_bias_and_squash(dreamt_, rbm_.visible_bias, !rbm_.gaussian);
    upwards(dreamt_, on_again_);
    learn(count);
    double error = 0;
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      const double missed = static_cast<double>(seen_[i]) - static_cast<double>(dreamt_[i]);
      error += missed * missed;
    }
    return error;
  }

  void draw_row(const RandomSequence& random, std::size_t r, std::uint64_t row) {
    const auto hidden = static_cast<std::size_t>(rbm_.hidden);
    for (std::size_t h = 0; h < hidden; ++h) {
      drawn_[r * hidden + h] = random.uniform(row * hidden + h) < on_[r * hidden + h] ? 1.0f : 0.0f;
    }
  }

  void learn(std::int64_t count) {
    const std::int64_t visible = rbm_.visible, hidden = rbm_.hidden;
    multiply({hidden, visible, count, true}, on_.data(), seen_.data(), slope_.data(), training_.threads);
    multiply({hidden, visible, count, true}, on_again_.data(), dreamt_.data(), other_slope_.data(), training_.threads);
    const auto rate = static_cast<float>(training_.rate), momentum = static_cast<float>(training_.momentum),
               decay = static_cast<float>(training_.weight_decay);
    const float share = 1.0f / static_cast<float>(count);
    for (std::size_t i = 0; i < slope_.size(); ++i) {
      const float slope = (slope_[i] - other_slope_[i]) * share - decay * rbm_.weights[i];
      weight_step_[i] = momentum * weight_step_[i] + rate * slope;
      rbm_.weights[i] += weight_step_[i];
    }
    const auto move = [&](std::vector<float>& bias, std::vector<float>& steps, const std::vector<float>& plus,
                          const std::vector<float>& minus) {
      for (std::size_t unit = 0; unit < bias.size(); ++unit) {
        float sum = 0;
        for (std::size_t i = unit; i < plus.size(); i += bias.size()) sum += plus[i] - minus[i];
        steps[unit] = momentum * steps[unit] + rate * share * sum;
        bias[unit] += steps[unit];
      }
    };
    move(rbm_.hidden_bias, hidden_step_, on_, on_again_);
    move(rbm_.visible_bias, visible_step_, seen_, dreamt_);
  }

  const RbmRows& rows_;
  const RbmTraining& training_;
  Rbm rbm_;
  std::vector<float> weight_step_, hidden_step_, visible_step_;
  std::vector<float> by_input_, slope_, other_slope_;         // by_input_: weights as [visible, hidden]
  std::vector<float> seen_, dreamt_, on_, drawn_, on_again_;  // of a batch
};

}  // namespace

std::vector<float> Rbm::hidden_of(std::span<const float> rows, int threads) const {
  const auto count = static_cast<std::int64_t>(rows.size()) / visible;
  std::vector<float> by_input(weights.size()), on(static_cast<std::size_t>(count * hidden));
  transpose_into(weights.data(), hidden, visible, by_input.data());
  multiply({count, hidden, visible}, rows.data(), by_input.data(), on.data(), threads);
  add_bias_and_squash(on, hidden_bias, true);
  return on;
}

Rbm train_rbm(const RbmRows& rows, std::int64_t visible, const RbmTraining& training) {
  HADAL_CHECK(rows.count > 0 && visible > 0 && training.hidden > 0 && training.batch > 0);
  return BoltzmannMachine(rows, visible, training).train();
}

}  // namespace hadal
