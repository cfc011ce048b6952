#pragma once
// A few training steps of a small network through the local runner, on any devices: for tests that compare them.

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"
#include "plan/recompute.h"
#include "runner/local_runner.h"

namespace hadal::testing {

struct SmallTraining {
  NetworkSpec network;
  std::vector<std::string> devices{"cpu:0"};
  int split = 1;
  std::int64_t smallest_part = 1;
  ExchangeTopology topology = ExchangeTopology::shared;
  ExchangeContent content = ExchangeContent::automatic;
  std::int64_t batch = 24, last_rows = 7;  // the last of each three steps is shorter
  std::int64_t shards = 12, chunks = 4;    // 0 shards: not reproducible
  std::int64_t pass_rows = 0;
  PlanOptions::Deferred deferred{};
  bool device_states = false;
  double clip_norm = 0;
  double rate = 0.05;
  UpdateRule rule = UpdateRule::sgd(0.9, 5e-4);
  bool reference = false;
  DType precision = DType::f32;
  int steps = 3;
  int late_stream = -1;
  int threads = 1;
  LinkSpeed link{1e12, 0};
  std::optional<Machine> machine{};
  RunnerOptions runner;
  bool again = false;  // backward computes all again that it can
};

inline std::vector<std::string> device_list(const std::string& kind, int count) {
  std::vector<std::string> names;
  for (int d = 0; d < count; ++d) names.push_back(kind + ":" + std::to_string(d));
  return names;
}

// Holds the network that its plans were built from.
class SmallTrainer {
 public:
  explicit SmallTrainer(const SmallTraining& training)
      : training_(training), network_(build_network(training.network)) {
    DeviceOptions options;
    for (const std::string& name : training.devices) options.names.push_back(DeviceName::parse(name));
    options.threads = training.threads;
    options.pin = false;
    options.link = training.link;
    options.machine = training.machine;
    options.fake_late_stream = training.late_stream;
    devices_ = make_devices(options);
    backend_ = training.reference ? make_reference_backend() : make_cpu_backend();
  }

  const Network& network() const { return network_; }

  Plan plan(std::int64_t rows, PlanMode mode = PlanMode::train) const {
    return build_plan(network_, options_of(rows, mode));
  }

  PlanOptions options_of(std::int64_t rows, PlanMode mode) const {
    PlanOptions options;
    options.mode = mode;
    options.batch = training_.batch;
    options.rows = rows;
    for (const auto& device : devices_) options.devices.push_back({device->name().to_string(), device->memory()});
    options.split = training_.split;
    options.smallest_part = training_.smallest_part;
    options.topology = training_.topology;
    options.content = training_.content;
    options.reproducible_shards = training_.shards;
    options.reproducible_chunks = training_.chunks;
    options.image_layout = backend_->image_layout();
    options.seed = 7;
    options.rule = training_.rule;
    options.pass_rows = training_.pass_rows;
    options.device_states = training_.device_states;
    options.clip_norm = training_.clip_norm;
    options.precision = training_.precision;
    if (training_.again && mode == PlanMode::train) {
      for (const KeptValue& value : kept_values(build_plan(network_, options))) options.recompute.insert(value.name);
    }
    return options;
  }

  // Ends the use of plan(): the devices go to the runner.
  LocalRunner& bind(std::vector<Plan> plans) {
    runner_ =
        std::make_unique<LocalRunner>(std::move(devices_), std::move(backend_), std::move(plans), training_.runner);
    for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
      runner_->write_parameter(p, initial_values(network_, p, 3));
    }
    return *runner_;
  }
  LocalRunner& bind() {
    std::vector<Plan> plans = whole_batches();
    plans.insert(plans.begin() + 1, plan(training_.last_rows));
    return bind(std::move(plans));
  }

  // The plan of a whole batch, and where it defers its siblings.
  std::vector<Plan> whole_batches() const {
    PlanOptions options = options_of(training_.batch, PlanMode::train);
    options.deferred = training_.deferred;
    std::vector<Plan> plans{build_plan(network_, options)};
    if (plans[0].deferral == Deferral::none) return plans;
    for (const Deferral part : {Deferral::begins, Deferral::ends}) plans.push_back(part_of(plans[0], part));
    return plans;
  }

  // One step on random samples that depend on the step alone.
  void step(int number) {
    const bool last = training_.last_rows < training_.batch && number % 3 == 2;
    run(last ? 1 : 0, number);
  }
  int run(int index, int number) {  // the plan that ran
    const std::vector<std::byte> batch = staged(runner_->plan(index).rows, number);
    StepValues values;
    values.step = static_cast<std::uint64_t>(number);
    values.rate = static_cast<float>(training_.rate);
    values.batch = batch.data();
    return runner_->run(index, values);
  }

  std::vector<std::byte> staged(std::int64_t rows, int number) const {
    const RandomSequence random(11, RandomUse::synthetic, static_cast<std::uint32_t>(number));
    const std::int64_t row_elements = elements(network_.input), classes = elements(network_.layers.back().output);
    std::vector<float> samples(static_cast<std::size_t>(rows * row_elements));
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = random.normal(i);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] = static_cast<std::int32_t>(random.below(1'000'000 + i, static_cast<std::uint64_t>(classes)));
    }
    std::vector<std::byte> bytes(samples.size() * 4 + labels.size() * 4);
    std::memcpy(bytes.data(), samples.data(), samples.size() * 4);
    std::memcpy(bytes.data() + samples.size() * 4, labels.data(), labels.size() * 4);
    return bytes;
  }

  std::vector<std::vector<float>> parameters() const {
    runner_->settle();
    std::vector<std::vector<float>> values;
    for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) values.push_back(runner_->read_parameter(p));
    return values;
  }

  // What a plan gave in its last round: the rows' losses, and their labels' ranks.
  std::vector<std::vector<float>> results(int index) const {
    std::vector<std::vector<float>> results;
    for (const ResultRows& rows : runner_->plan(index).results) {
      if (rows.loss >= 0) results.push_back(runner_->read_numbers(index, rows.loss));
      if (rows.rank < 0) continue;
      std::vector<std::int32_t> ranks(static_cast<std::size_t>(rows.count));
      runner_->read(index, rows.rank, ranks.data(), ranks.size() * sizeof ranks[0]);
      results.emplace_back(ranks.begin(), ranks.end());
    }
    return results;
  }

  LocalRunner& runner() { return *runner_; }

 private:
  SmallTraining training_;
  Network network_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<LocalRunner> runner_;
};

// The parameters after all steps.
inline std::vector<std::vector<float>> train(const SmallTraining& training) {
  SmallTrainer trainer(training);
  trainer.bind();
  for (int step = 0; step < training.steps; ++step) trainer.step(step);
  return trainer.parameters();
}

}  // namespace hadal::testing
