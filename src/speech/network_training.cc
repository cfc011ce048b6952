#include "speech/network_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "speech/network_model.h"
#include "speech/rbm.h"
#include "speech/run_files.h"

namespace hadal {

namespace {

std::string initial_file(const NetworkTraining& training) { return training.frames + "/initial.safetensors"; }

// Frames of all utterances by number, each with its neighbours, so scaled that their variance is 1 and their mean 0:
// what a Gaussian machine expects.
class SplicedFrames {
 public:
  SplicedFrames(std::span<const AlignedFrames> utterances, const Splice& splice)
      : utterances_(utterances), splice_(splice), dim_(utterances[0].features->dim) {
    first_.push_back(0);
    for (const AlignedFrames& utterance : utterances) first_.push_back(first_.back() + utterance.features->frames);
    measure();
  }

  std::int64_t count() const { return first_.back(); }
  std::int64_t width() const { return (splice_.left + 1 + splice_.right) * dim_; }

  void read(std::int64_t frame, std::span<float> values) const {
    const auto next = std::upper_bound(first_.begin(), first_.end(), frame);
    const auto utterance = static_cast<std::size_t>(next - first_.begin()) - 1;
    splice_frame(*utterances_[utterance].features, frame - first_[utterance], splice_, values);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = (values[i] - mean_of(i)) * scale_of(i);
  }

  float mean_of(std::size_t i) const { return mean_[i % static_cast<std::size_t>(dim_)]; }
  float scale_of(std::size_t i) const { return scale_[i % static_cast<std::size_t>(dim_)]; }

 private:
  void measure() {
    for (std::int64_t column = 0; column < dim_; ++column) {
      double sum = 0, squares = 0;
      for (const AlignedFrames& utterance : utterances_) {
        for (std::int64_t f = 0; f < utterance.features->frames; ++f) {
          const double value = utterance.features->row(f)[static_cast<std::size_t>(column)];
          sum += value;
          squares += value * value;
        }
      }
      const double mean = sum / static_cast<double>(count());
      const double variance = squares / static_cast<double>(count()) - mean * mean;
      mean_.push_back(static_cast<float>(mean));
      scale_.push_back(variance > 1e-12 ? static_cast<float>(1 / std::sqrt(variance)) : 0.0f);
    }
  }

  std::span<const AlignedFrames> utterances_;
  Splice splice_;
  std::int64_t dim_;
  std::vector<std::int64_t> first_;  // frame of each utterance, and the number of all
  std::vector<float> mean_, scale_;
};

// Weights that take the frames as they are, in place of scaled ones.
void unscale(Rbm& rbm, const SplicedFrames& frames) {
  const auto visible = static_cast<std::size_t>(rbm.visible);
  for (std::size_t h = 0; h < rbm.hidden_bias.size(); ++h) {
    double shift = 0;
    for (std::size_t i = 0; i < visible; ++i) {
      float& weight = rbm.weights[h * visible + i];
      weight *= frames.scale_of(i);
      shift += static_cast<double>(weight) * static_cast<double>(frames.mean_of(i));
    }
    rbm.hidden_bias[h] -= static_cast<float>(shift);
  }
}

// A machine for each sigmoid layer but that over the states, which stays as it is drawn.
void pretrain(const Recipe& recipe, const NetworkTraining& training, const JobSpec& job,
              std::span<const AlignedFrames> aligned) {
  const Network network = build_network(job.network);
  Values values;
  for (int p = 0; p < static_cast<int>(network.parameters.size()); ++p) {
    values.push_back(initial_values(network, p, job.seed));
  }
  const SplicedFrames frames(aligned, recipe.network.splice);
  std::vector<Rbm> below;
  for (const Layer& layer : network.layers) {
    if (layer.type != "fully_connected" || layer.name == network.layers.back().name) continue;
    const auto number = static_cast<std::uint32_t>(below.size());
    RbmTraining options;
    options.hidden = elements(layer.output);
    options.gaussian = below.empty();
    options.epochs = recipe.network.rbm.epochs;
    options.rate = below.empty() ? recipe.network.rbm.gaussian_rate : recipe.network.rbm.rate;
    options.momentum = recipe.network.rbm.momentum;
    options.weight_decay = recipe.network.rbm.weight_decay;
    options.seed = job.seed;
    options.layer = number;
    options.threads = training.threads;
    options.report = [&](std::int64_t epoch, double error) {
      training.notice(fmt::format("pre-training layer {}, epoch {} of {}: reconstruction error {:.4f}", number + 1,
                                  epoch + 1, options.epochs, error));
      if (training.stop != nullptr && *training.stop) throw Stopped("stopped in pre-training; it begins again");
    };
    RbmRows rows;
    rows.count = frames.count();
    rows.read = [&](std::span<const std::int64_t> batch, std::span<float> into) {
      const auto width = static_cast<std::size_t>(frames.width());
      std::vector<float> input(batch.size() * width);
      for (std::size_t r = 0; r < batch.size(); ++r) frames.read(batch[r], std::span(input).subspan(r * width, width));
      for (const Rbm& rbm : below) input = rbm.hidden_of(input, training.threads);
      std::ranges::copy(input, into.begin());
    };
    below.push_back(train_rbm(rows, below.empty() ? frames.width() : below.back().hidden, options));
    Rbm taken = below.back();
    if (number == 0) unscale(taken, frames);
    values[static_cast<std::size_t>(layer.weight)] = taken.weights;
    values[static_cast<std::size_t>(layer.bias)] = taken.hidden_bias;
  }
  save_model(initial_file(training), job.network, network, values);
}

}  // namespace

JobSpec job_of(const Recipe& recipe, const NetworkTraining& training, std::int64_t feature_dim) {
  JobSpec job = recipe.job;
  job.name = "network";  // a run that is called otherwise is the same
  job.network = network_of(recipe, feature_dim, training.states);
  job.data.train = training_frames(training.frames, "train", recipe.network.splice);
  job.data.test.reset();
  if (training.held_out) job.data.test = training_frames(training.frames, "held_out", recipe.network.splice);
  return job;
}

nlohmann::ordered_json train_network(const Recipe& recipe, const NetworkTraining& training,
                                     std::span<const AlignedFrames> aligned) {
  const std::int64_t dim = aligned[0].features->dim;
  const JobSpec job = job_of(recipe, training, dim);
  TrainOptions options;
  options.out = training.network;
  options.resume = training.resume && has_checkpoints(RunFolder(training.network).checkpoints());
  if (training.pretrain && !options.resume) {
    pretrain(recipe, training, job, aligned);
    options.init = initial_file(training);
  }
  if (!options.resume) remove_all(training.network);
  options.notice = training.notice;
  options.progress = training.progress;
  options.evaluated = training.evaluated;
  options.stop = training.stop;
  Trainer trainer(job);
  training.begin(trainer, job);
  nlohmann::ordered_json summary = trainer.run(options);
  write_network_input(training.network, {dim, recipe.network.splice, log_priors(aligned, training.states)});
  return summary;
}

}  // namespace hadal
