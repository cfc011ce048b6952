#include "train/engine.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"
#include "train/machine.h"

namespace hadal {

namespace {

std::vector<DeviceName> device_names(const JobSpec& job) {
  std::vector<DeviceName> names;
  for (const std::string& text : job.parallel.devices) names.push_back(DeviceName::parse(text));
  return names;
}

}  // namespace

int threads_of_each_device(const JobSpec& job) {
  if (job.reproducible) return 1;
  if (job.parallel.threads) return static_cast<int>(*job.parallel.threads);
  if (device_names(job)[0].kind == DeviceKind::fake) return 1;
  return std::max(1, describe_machine().cores / static_cast<int>(job.parallel.devices.size()));
}

DType dtype_of(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

std::unique_ptr<Backend> make_backend(const JobSpec& job) {
  return job.backend == BackendKind::reference ? make_reference_backend() : make_cpu_backend();
}

Plan make_plan(const JobSpec& job, const Network& network, const std::vector<PlanDevice>& devices, Layout image_layout,
               const PlanKey& key, bool in_place, bool updates) {
  const auto count = static_cast<std::int64_t>(devices.size());
  if (job.data.batch < count) {
    throw ConfigError(job.data.batch_where, "data.batch: " + std::to_string(job.data.batch) +
                                                " is smaller than the number of devices (" + std::to_string(count) +
                                                "): use fewer devices or a larger batch");
  }
  const bool one_memory = std::all_of(devices.begin(), devices.end(),
                                      [&](const PlanDevice& device) { return device.memory == devices[0].memory; });
  PlanOptions options;
  options.mode = key.mode;
  options.batch = std::max(job.data.batch, key.rows);
  options.rows = key.rows;
  options.devices = devices;
  switch (job.exchange.topology) {
    case Topology::shared:
      if (!one_memory) {
        throw ConfigError(
            job.exchange.topology_where,
            "exchange.topology: shared needs devices that address one memory; fake devices have one each: "
            "use another topology, or auto");
      }
      options.topology = ExchangeTopology::shared;
      break;
    case Topology::direct:
      options.topology = ExchangeTopology::direct;
      break;
    case Topology::line:
      options.topology = ExchangeTopology::line;
      break;
    case Topology::tree:
      options.topology = ExchangeTopology::tree;
      break;
    case Topology::ring:
      options.topology = ExchangeTopology::ring;
      break;
    default:
      options.topology = one_memory ? ExchangeTopology::shared : ExchangeTopology::direct;
  }
  switch (job.exchange.content) {
    case Content::gradients:
      options.content = ExchangeContent::gradients;
      break;
    case Content::factors:
      options.content = ExchangeContent::factors;
      break;
    default:
      options.content = ExchangeContent::automatic;
  }
  options.reproducible_shards = job.reproducible ? job.reproducible->shards : 0;
  options.image_layout = image_layout;
  options.seed = job.seed;
  options.rule = job.solver.rule.update;
  options.clip_norm = job.solver.clip_norm.value_or(0);
  options.in_place = in_place;
  options.updates = updates;
  options.precision = dtype_of(job.precision);
  return build_plan(network, options);
}

Engine::Engine(const JobSpec& job, const Network& network, const std::vector<PlanKey>& keys,
               const RunnerOptions& options)
    : network_(network) {
  DeviceOptions device_options;
  device_options.names = device_names(job);
  device_options.threads = threads_of_each_device(job);
  auto devices = make_devices(device_options);
  std::vector<PlanDevice> described;
  for (const auto& device : devices) described.push_back({device->name().to_string(), device->memory()});

  auto backend = make_backend(job);
  std::vector<Plan> plans;
  std::int64_t most_rows = 0;
  const bool updates =
      std::any_of(keys.begin(), keys.end(), [](const PlanKey& key) { return key.mode == PlanMode::train; });
  for (const PlanKey& key : keys) {
    if (std::find(keys_.begin(), keys_.end(), key) != keys_.end() || key.rows == 0) continue;
    keys_.push_back(key);
    plans.push_back(
        make_plan(job, network, described, backend->image_layout(), key, !options.keep_activations, updates));
    most_rows = std::max(most_rows, key.rows);
  }
  losses_.resize(static_cast<std::size_t>(most_rows));
  ranks_.resize(static_cast<std::size_t>(most_rows));
  runner_ = std::make_unique<LocalRunner>(std::move(devices), std::move(backend), std::move(plans), options);
}

int Engine::plan_index(const PlanKey& key) const {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  HADAL_CHECK(found != keys_.end());
  return static_cast<int>(found - keys_.begin());
}

BatchResult Engine::run(const PlanKey& key, const void* batch, std::uint64_t step, double rate) {
  const int index = plan_index(key);
  StepValues values;
  values.step = step;
  values.rate = static_cast<float>(rate);
  values.batch = batch;
  runner_->run(index, values);

  BatchResult result;
  const Plan& plan = runner_->plan(index);
  for (const ResultRows& rows : plan.results) {
    const auto bytes = static_cast<std::size_t>(rows.count) * 4;
    runner_->read(index, rows.loss, losses_.data(), bytes);
    runner_->read(index, rows.rank, ranks_.data(), bytes);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      result.loss_sum += losses_[i];
      if (std::isnan(losses_[i])) continue;  // its rank says nothing
      result.correct += ranks_[i] == 0;
      result.correct_top5 += ranks_[i] < 5;
    }
    result.rows += rows.count;
  }
  if (plan.clip_norm >= 0) {
    float norm = 0;
    runner_->read(index, plan.clip_norm, &norm, sizeof norm);
    result.gradient_norm = norm;
  }
  return result;
}

std::vector<float> Engine::predict(std::int64_t rows, const void* batch) {
  const int index = plan_index({PlanMode::predict, rows});
  StepValues values;
  values.batch = batch;
  runner_->run(index, values);
  const auto classes = static_cast<std::size_t>(elements(network_.layers.back().output));
  std::vector<float> probabilities(static_cast<std::size_t>(rows) * classes);
  for (const ResultRows& part : runner_->plan(index).results) {
    runner_->read(index, part.probabilities, probabilities.data() + static_cast<std::size_t>(part.first) * classes,
                  static_cast<std::size_t>(part.count) * classes * sizeof(float));
  }
  return probabilities;
}

void Engine::initialise(std::uint64_t seed) {
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    runner_->write_parameter(p, initial_values(network_, p, seed));
  }
}

}  // namespace hadal
