#include "train/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "base/error.h"
#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"
#include "plan/divide.h"
#include "plan/misfit.h"
#include "spec/machine_file.h"
#include "train/host.h"
#include "train/memory_limit.h"

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
  return std::max(1, describe_host().cores / static_cast<int>(job.parallel.devices.size()));
}

DType dtype_of(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

std::unique_ptr<Backend> make_backend(const JobSpec& job) {
  return job.backend == BackendKind::reference ? make_reference_backend() : make_cpu_backend();
}

Machine machine_of(const JobSpec& job) {
  const std::vector<DeviceName> names = device_names(job);
  if (!job.parallel.machine) {
    Machine machine = uniform_machine(static_cast<int>(names.size()), {});
    for (std::size_t d = 0; d < names.size(); ++d) machine.devices[d].name = names[d].to_string();
    return machine;
  }
  if (!std::filesystem::exists(*job.parallel.machine)) {
    throw ConfigError(job.parallel.machine_where, "parallel.machine: there is no file " + *job.parallel.machine +
                                                      " here, in the working directory");
  }
  const Machine machine = load_machine(*job.parallel.machine);
  std::vector<int> indices;
  for (const DeviceName& name : names) {
    const auto count = static_cast<int>(machine.devices.size());
    if (name.index >= count) {
      throw ConfigError(job.parallel.machine_where, "parallel.machine: " + *job.parallel.machine + " has " +
                                                        std::to_string(count) + (count == 1 ? " device" : " devices") +
                                                        ", numbered from 0: there is no " + name.to_string());
    }
    indices.push_back(name.index);
  }
  Machine chosen = select_devices(machine, indices);
  // A file speaks of devices of one core each.
  for (MachineDevice& device : chosen.devices) {
    if (names[0].kind == DeviceKind::cpu) device.speed.flops_per_second *= threads_of_each_device(job);
  }
  return chosen;
}

namespace {

ExchangeTopology topology_of(const JobSpec& job, bool one_memory) {
  switch (job.exchange.topology) {
    case Topology::shared:
      if (!one_memory) {
        throw ConfigError(job.exchange.topology_where,
                          "exchange.topology: shared needs devices that address one memory, and these have one each: "
                          "use another topology, or auto");
      }
      return ExchangeTopology::shared;
    case Topology::line:
      return ExchangeTopology::line;
    case Topology::tree:
      return ExchangeTopology::tree;
    case Topology::ring:
      return ExchangeTopology::ring;
    case Topology::direct:
      return ExchangeTopology::direct;
    case Topology::automatic:
      break;
  }
  return one_memory ? ExchangeTopology::shared : ExchangeTopology::direct;
}

ExchangeContent content_of(const JobSpec& job) {
  switch (job.exchange.content) {
    case Content::gradients:
      return ExchangeContent::gradients;
    case Content::factors:
      return ExchangeContent::factors;
    case Content::automatic:
      break;
  }
  return ExchangeContent::automatic;
}

bool share_memory(const std::vector<PlanDevice>& devices) {
  return std::all_of(devices.begin(), devices.end(),
                     [&](const PlanDevice& device) { return device.memory == devices[0].memory; });
}

// Of any plan of the job; where something is left to be chosen, as it is without a machine.
PlanOptions plan_options(const JobSpec& job, const std::vector<PlanDevice>& devices) {
  const auto count = static_cast<std::int64_t>(devices.size()) / job.parallel.split;
  if (job.data.batch < count) {
    throw ConfigError(job.data.batch_where, "data.batch: " + std::to_string(job.data.batch) +
                                                " is smaller than the number of " +
                                                (job.parallel.split > 1 ? "groups" : "devices") + " (" +
                                                std::to_string(count) + "): use fewer devices or a larger batch");
  }
  PlanOptions options;
  options.devices = devices;
  options.split = static_cast<int>(job.parallel.split);
  options.topology = topology_of(job, share_memory(devices));
  options.content = content_of(job);
  options.reproducible_shards = job.reproducible ? job.reproducible->shards : 0;
  if (job.reproducible) options.reproducible_chunks = job.reproducible->chunks;
  options.seed = job.seed;
  options.rule = job.solver.rule.update;
  options.device_states = job.solver.rule.exchange != StateExchange::owner && count > 1;
  if (job.solver.accumulate > 1) options.pass_rows = job.data.batch;
  options.clip_norm = job.solver.clip_norm.value_or(0);
  options.precision = dtype_of(job.precision);
  return options;
}

// Of how many layers the job leaves the exchange to the next step; nothing: as many as is best.
std::optional<int> deferred_by(const JobSpec& job) {
  constexpr std::int64_t kInARow = 4;  // steps that nobody looks between, at least: else there is little to gain
  if (job.exchange.deferred_layers) return static_cast<int>(*job.exchange.deferred_layers);
  const bool averages = job.solver.rule.exchange != StateExchange::owner;
  const bool saves = job.checkpoint.every_steps > 0;
  if (saves && job.checkpoint.every_steps < kInARow) return 0;
  if (averages && job.solver.rule.steps_between_averages() < kInARow) return 0;
  return std::nullopt;
}

DeferredChoice deferred_of(const JobSpec& job, const Network& network, const PlanOptions& options,
                           const Machine& machine, const MemoryOf& memory) {
  if (job.exchange.deferred_layers > 0 && options.groups() > 1 && options.topology == ExchangeTopology::shared) {
    throw ConfigError(
        job.exchange.deferred_where,
        "exchange.deferred_layers: these devices share one memory and exchange nothing that could be left "
        "to the next step: use 0, auto, or another exchange.topology");
  }
  return choose_deferred(network, options, machine, deferred_by(job), memory);
}

// Whether nothing of the job keeps its devices from holding a model together.
bool may_split(const JobSpec& job) {
  return job.parallel.devices.size() > 1 && !(job.reproducible && job.precision != Precision::fp32) &&
         job.solver.rule.exchange == StateExchange::owner;
}

Freedom freedom_of(const JobSpec& job) {
  return {job.exchange.topology == Topology::automatic,
          job.exchange.content == Content::automatic && job.solver.rule.exchange == StateExchange::owner};
}

bool says_memory(const Machine& machine) {
  return std::any_of(machine.devices.begin(), machine.devices.end(),
                     [](const MachineDevice& device) { return device.memory_bytes > 0; });
}

// The smallest split that the job's batch allows: each group needs a sample.
std::int64_t least_split(const JobSpec& job) {
  const auto devices = static_cast<std::int64_t>(job.parallel.devices.size());
  std::int64_t split = 1;
  while (devices % split != 0 || job.data.batch < devices / split) ++split;
  return split;
}

std::vector<int> layers_named(const Network& network, const std::vector<std::string>& names) {
  std::vector<int> layers;
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    if (std::find(names.begin(), names.end(), network.layers[l].name) != names.end())
      layers.push_back(static_cast<int>(l));
  }
  return layers;
}

// What the network says must be divided can be.
void check_layers(const JobSpec& job, const Network& network, const PlanOptions& options) {
  const Division division(network, options.split, options.smallest_part, options.output_chunks(), options.whole);
  for (std::size_t l = 0; l < network.layers.size() && l < job.network.layers.size(); ++l) {
    const std::string why = division.why_not(static_cast<int>(l));
    if (why.empty()) continue;
    throw ConfigError(job.network.layers[l].split_where, network.layers[l].name + ".split: divide: " + why +
                                                             "; use auto or whole, or another parallel.split");
  }
}

SplitChoice choice_of(const std::vector<ConsideredSplit>& ways, const JobSpec& job, const Network& network) {
  for (const ConsideredSplit& way : ways) {
    if (job.parallel.groups && way.split != job.parallel.split) continue;
    SplitChoice choice{way.split, {}};
    for (const int layer : way.whole) choice.whole.push_back(network.layers[static_cast<std::size_t>(layer)].name);
    return choice;
  }
  return {job.parallel.split, {}};
}

// Where the machine says what memory its devices have, a plan must fit.
void check_fits(const JobSpec& job, const Network& network, const Plan& plan, const MemoryPlan& memory,
                const Machine& machine, const Trial& trial) {
  const std::vector<Misfit> found = misfits(plan, network, memory, machine);
  if (found.empty()) return;
  std::string what = "parallel.machine: " + describe(found[0], plan);
  if (found.size() > 1) what += fmt::format(", and {} more are too small", found.size() - 1);
  const std::string help = trial ? what_would_help(job, trial) : "";
  what += help.empty() ? "; a smaller data.batch or narrower layers would help" : "; it would fit with " + help;
  throw ConfigError(job.parallel.machine_where, what);
}

// The job as if it had been read: what does not go together is refused.
JobSpec checked(const JobSpec& job) {
  JobSpec read = parse_job(to_yaml(job), "job.yaml");
  read.parallel.described = job.parallel.described;
  read.parallel.threads = job.parallel.threads;
  return read;
}

// The most that a device needs in any plan.
std::size_t peak_of(const LocalRunner& runner, std::size_t plans) {
  std::size_t peak = 0;
  for (std::size_t i = 0; i < plans; ++i) {
    for (const MemoryUse& use : runner.bound(static_cast<int>(i)).memory().use) peak = std::max(peak, use.peak);
  }
  return peak;
}

}  // namespace

Engine::Engine(const JobSpec& given, const Network& network, const std::vector<PlanKey>& keys,
               const RunnerOptions& options, const BackendMaker& backend_of, bool advises)
    : network_(network) {
  JobSpec job = given;  // with the split that is chosen
  DeviceOptions device_options;
  device_options.names = device_names(job);
  device_options.threads = threads_of_each_device(job);
  prediction_.machine = machine_of(job);
  if (device_options.names[0].kind == DeviceKind::fake) device_options.machine = prediction_.machine;
  auto devices = make_devices(device_options);
  std::vector<PlanDevice> described;
  for (const auto& device : devices) described.push_back({device->name().to_string(), device->memory()});
  for (std::size_t d = 0; options.plan_only && job.parallel.described && d < described.size(); ++d) {
    described[d] = {prediction_.machine.devices[d].name, prediction_.machine.devices[d].memory};
  }

  auto backend = backend_of(job);
  const bool trains =
      std::any_of(keys.begin(), keys.end(), [](const PlanKey& key) { return key.mode == PlanMode::train; });
  const auto options_for = [&](const JobSpec& of) {
    PlanOptions of_plan = plan_options(of, described);
    of_plan.image_layout = backend->image_layout();
    of_plan.in_place = !options.keep_activations;
    of_plan.updates = trains;
    of_plan.batch = of.samples_per_step();
    of_plan.rows = keys[0].rows;
    return of_plan;
  };
  Trial trial;
  if (advises) {
    trial = [&](const JobSpec& tried) -> std::optional<std::size_t> {
      try {
        const JobSpec read = checked(tried);
        RunnerOptions plan_only;
        plan_only.plan_only = true;
        std::vector<PlanKey> tried_keys = keys;
        for (PlanKey& key : tried_keys) {
          if (key.mode != PlanMode::train) key.rows = std::min(key.rows, read.data.batch);
        }
        const Engine engine(read, network, tried_keys, plan_only, backend_of, false);
        return peak_of(engine.runner(), engine.keys_.size());
      } catch (const ConfigError&) {
        return std::nullopt;
      }
    };
  }
  const auto kernels_of = [&](const Plan& plan) -> MemoryOf {
    const auto kernels = std::make_shared<KernelScratch>();
    kernels->learn(plan, devices, *backend);
    return [kernels](const Plan& other) { return kernels->memory(other); };
  };
  const auto compare_splits = [&] {
    SplitFreedom freedom{freedom_of(job), deferred_by(job), job.parallel.automatic_split};
    if (options.plan_only || says_memory(prediction_.machine) || job.memory.limit) freedom.kernels = kernels_of;
    freedom.limit = static_cast<std::size_t>(job.memory.limit.value_or(0));
    if (!options.keep_activations) {
      freedom.fit = fit_options_of(job);
      freedom.fit.limit = memory_limits(job, prediction_.machine);
    }
    JobSpec one_group = job;  // the others follow from it
    one_group.parallel.split = static_cast<std::int64_t>(job.parallel.devices.size());
    return consider_splits(network, options_for(one_group), prediction_.machine, freedom);
  };
  std::vector<int> whole;
  if (trains && may_split(job) && !job.parallel.chosen &&
      (job.parallel.automatic_split || (options.plan_only && advises))) {
    prediction_.splits = compare_splits();
  }
  if (job.parallel.automatic_split) {
    SplitChoice choice = choice_of(prediction_.splits, job, network);
    if (job.parallel.chosen && may_split(job)) {
      choice = *job.parallel.chosen;
    } else if (!trains && may_split(job)) {
      choice.split = std::max(choice.split, least_split(job));
    }
    prediction_.automatic_split = true;
    job.parallel.split = choice.split;
    whole = layers_named(network, choice.whole);
  }
  PlanOptions of_plan = options_for(job);
  of_plan.whole = whole;
  check_layers(job, network, of_plan);
  const Freedom freedom = freedom_of(job);
  MemoryOf memory_of;
  if (trains && of_plan.groups() > 1 && of_plan.topology != ExchangeTopology::shared) {
    if (says_memory(prediction_.machine)) memory_of = kernels_of(build_plan(network, of_plan));
    if (freedom.topology || freedom.content)
      prediction_.considered = choose_exchange(network, of_plan, prediction_.machine, freedom, memory_of);
  }
  if (trains) {
    const DeferredChoice choice = deferred_of(job, network, of_plan, prediction_.machine, memory_of);
    prediction_.undeferred_seconds = choice.undeferred_seconds;
    of_plan.deferred = choice.deferred;
  }
  std::vector<Plan> plans;
  std::vector<PlanOptions> options_of;  // by plan
  std::int64_t most_rows = 0;
  for (const PlanKey& key : keys) {
    if (std::find(keys_.begin(), keys_.end(), key) != keys_.end() || key.rows == 0) continue;
    keys_.push_back(key);
    of_plan.mode = key.mode;
    of_plan.batch = std::max(job.samples_per_step(), key.rows);
    of_plan.rows = key.rows;
    plans.push_back(build_plan(network, of_plan));
    options_of.push_back(of_plan);
    of_plan.deferred = {};  // what is not a whole batch is not followed by its like
    most_rows = std::max(most_rows, key.rows);
  }
  if (!options.keep_activations) fit_into_memory(job, plans, options_of, devices, *backend, trial);
  prediction_.simulation = simulate(plans[0], prediction_.machine);
  if (trains && !(options.plan_only && advises) && says_memory(prediction_.machine)) {
    const MemoryPlan memory = plan_memory(plans[0], kernels_of(plans[0])(plans[0]));
    check_fits(job, network, plans[0], memory, prediction_.machine, trial);
  }
  if (of_plan.updates && of_plan.device_states) {
    of_plan.mode = PlanMode::average;
    of_plan.rows = keys[0].rows;
    keys_.push_back({PlanMode::average, 0});
    plans.push_back(build_plan(network, of_plan));
    prediction_.average_seconds = step_seconds(plans.back(), prediction_.machine);
    prediction_.average_bytes = plans.back().exchange_bytes() + plans.back().remote_read_bytes;
    prediction_.average_every = job.solver.rule.steps_between_averages();
  }
  if (plans[0].deferral == Deferral::continues) {
    for (const Deferral part : {Deferral::begins, Deferral::ends}) plans.push_back(part_of(plans[0], part));
  }
  losses_.resize(static_cast<std::size_t>(most_rows));
  ranks_.resize(static_cast<std::size_t>(most_rows));
  runner_ = std::make_unique<LocalRunner>(std::move(devices), std::move(backend), std::move(plans), options);
}

void Engine::fit_into_memory(const JobSpec& job, std::vector<Plan>& plans, std::vector<PlanOptions>& options,
                             const std::vector<std::unique_ptr<Device>>& devices, Backend& backend,
                             const Trial& trial) {
  FitOptions fit_options = fit_options_of(job);
  fit_options.find_least = trial != nullptr;
  fit_options.limit = memory_limits(job, prediction_.machine);
  const bool limited = std::any_of(fit_options.limit.begin(), fit_options.limit.end(), [](auto l) { return l > 0; });
  if (!limited && !fit_options.all_cheap) return;
  KernelScratch scratch;
  for (const Plan& plan : plans) scratch.learn(plan, devices, backend);
  fit_options.memory = [&scratch](const Plan& plan) { return scratch.memory(plan); };
  FitReport& report = prediction_.fit;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    std::vector<std::string> recomputed;
    if (plans[i].mode == PlanMode::train) {
      if (i == 0) {
        for (const MemoryUse& use : plan_memory(plans[0], scratch.memory(plans[0])).use)
          report.kept_peak_bytes = std::max(report.kept_peak_bytes, use.peak);
        report.kept_seconds = step_seconds(plans[0], prediction_.machine);
        report.limit = fit_options.limit;
      }
      recomputed = fit(network_, options[i], prediction_.machine, fit_options).recomputed;
      if (!options[i].recompute.empty()) plans[i] = build_plan(network_, options[i]);
      if (i == 0) report.recomputed = recomputed;
    }
    if (!job.memory.limit) continue;
    const MemoryPlan memory = plan_memory(plans[i], scratch.memory(plans[i]));
    for (const MemoryUse& use : memory.use) {
      if (use.peak > *job.memory.limit) throw does_not_fit(job, network_, options[i], plans[i], memory, trial);
    }
  }
}

int Engine::plan_index(const PlanKey& key) const {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  HADAL_CHECK(found != keys_.end());
  return static_cast<int>(found - keys_.begin());
}

BatchResult Engine::run(const PlanKey& key, const void* batch, std::uint64_t step, double rate) {
  int index = plan_index(key);
  StepValues values;
  values.step = step;
  values.rate = static_cast<float>(rate);
  values.batch = batch;
  index = runner_->run(index, values);

  BatchResult result;
  const Plan& plan = runner_->plan(index);
  for (const ResultRows& rows : plan.results) {
    const auto bytes = static_cast<std::size_t>(rows.count) * 4;
    float* losses = losses_.data() + rows.first;
    std::int32_t* ranks = ranks_.data() + rows.first;
    runner_->read(index, rows.loss, losses, bytes);
    runner_->read(index, rows.rank, ranks, bytes);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      result.loss_sum += losses[i];
      if (std::isnan(losses[i])) ranks[i] = std::numeric_limits<std::int32_t>::max();  // it says nothing
      result.correct += ranks[i] == 0;
      result.correct_top5 += ranks[i] < 5;
    }
    result.rows += rows.count;
  }
  ranked_rows_ = static_cast<std::size_t>(result.rows);
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

void Engine::average_states(std::uint64_t step) {
  StepValues values;
  values.step = step;
  if (prediction_.average_every > 0) runner_->run(plan_index({PlanMode::average, 0}), values);
}

std::vector<std::string> Engine::states(const UpdateRule& rule) const {
  if (prediction_.average_every == 0) return rule.states();
  std::vector<std::string> names;
  for (std::size_t d = 0; d < runner_->plan(0).devices.size(); ++d) names.push_back(fmt::format("squares.{}", d));
  return names;
}

void Engine::initialise(std::uint64_t seed) {
  for (int p = 0; p < static_cast<int>(network_.parameters.size()); ++p) {
    runner_->write_parameter(p, initial_values(network_, p, seed));
  }
}

}  // namespace hadal
