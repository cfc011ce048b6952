#include "train/memory_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "plan/misfit.h"
#include "runner/bound_plan.h"

namespace hadal {

namespace {

std::string size_in_words(std::size_t bytes) { return bytes_in_words(static_cast<double>(bytes)); }

// What a layer has on a device.
struct LayerBytes {
  std::size_t parameters = 0, values = 0;  // with states; when the device is fullest

  std::size_t all() const { return parameters + values; }
};

std::string largest_layers(const Network& network, const Plan& plan, const MemoryPlan& memory, int device) {
  constexpr std::size_t kShown = 3;
  std::map<int, LayerBytes> layers;
  const auto bytes_of = [&](int tensor) { return plan.tensors[static_cast<std::size_t>(tensor)].bytes(); };
  for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
    const int tensor = plan.parameters[p].tensor[static_cast<std::size_t>(device)];
    if (plan.tensors[static_cast<std::size_t>(tensor)].device == device)
      layers[network.parameters[p].layer].parameters += bytes_of(tensor);
  }
  for (const OwnedRange& owned : plan.owned) {
    if (owned.device != device) continue;
    LayerBytes& layer = layers[network.parameters[static_cast<std::size_t>(owned.parameter)].layer];
    for (const int state : owned.states) layer.parameters += bytes_of(state);
    if (owned.master >= 0) layer.parameters += bytes_of(owned.master);
  }
  std::vector<int> written_for(plan.tensors.size(), -2);  // by tensor: the layer of the first step that writes it
  for (const Step& step : plan.steps) {
    for (const Range& range : step.writes) {
      int& layer = written_for[static_cast<std::size_t>(range.tensor)];
      if (layer == -2) layer = step.layer;
    }
  }
  for (const int tensor : memory.fullest[static_cast<std::size_t>(device)].tensors)
    layers[std::max(-1, written_for[static_cast<std::size_t>(tensor)])].values += bytes_of(tensor);
  std::vector<std::pair<int, LayerBytes>> sorted(layers.begin(), layers.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.all() > b.second.all(); });
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, sorted.size()); ++i) {
    const auto& [layer, bytes] = sorted[i];
    text += (i > 0 ? ", " : "") + (layer < 0 ? "the input" : network.layers[static_cast<std::size_t>(layer)].name) +
            " " + size_in_words(bytes.all()) +
            (layer < 0                         ? ""
             : bytes.parameters > bytes.values ? " (most of it parameters and state)"
                                               : " (most of it activations)");
  }
  return text;
}

}  // namespace

void KernelScratch::learn(const Plan& plan, const std::vector<std::unique_ptr<Device>>& devices, Backend& backend) {
  const BoundPlan bound(plan, devices, backend);
  const std::vector<std::size_t> bytes = bound.scratch_above(0);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const Step& step = plan.steps[i];
    for (std::size_t* of : {&by_device_[{step.name, step.device}], &by_name_[step.name]}) *of = std::max(*of, bytes[i]);
  }
  const std::vector<std::size_t> shared = bound.scratch_bytes(kSharedScratch);
  shared_.resize(std::max(shared_.size(), shared.size()));
  for (std::size_t s = 0; s < shared.size(); ++s) shared_[s] = std::max(shared_[s], shared[s]);
}

MemoryOptions KernelScratch::memory(const Plan& plan) const {
  MemoryOptions options;
  options.scratch.resize(plan.devices.size() * kStreamKinds);
  for (std::size_t s = 0; s < std::min(shared_.size(), options.scratch.size()); ++s) options.scratch[s] = shared_[s];
  for (const Step& step : plan.steps) {
    const auto on_device = by_device_.find({step.name, step.device});
    const auto anywhere = by_name_.find(step.name);
    const std::size_t bytes = on_device != by_device_.end() ? on_device->second
                              : anywhere != by_name_.end()  ? anywhere->second
                                                            : 0;
    options.step_scratch.push_back(bytes > kSharedScratch ? bytes : 0);
    if (bytes <= kSharedScratch)
      options.scratch[step.stream_index()] = std::max(options.scratch[step.stream_index()], bytes);
  }
  return options;
}

std::vector<std::size_t> memory_limits(const JobSpec& job, const Machine& machine) {
  std::vector<std::size_t> limits;
  for (const MachineDevice& device : machine.devices) {
    const auto sharing = std::count_if(machine.devices.begin(), machine.devices.end(),
                                       [&](const MachineDevice& other) { return other.memory == device.memory; });
    auto limit = static_cast<std::size_t>(device.memory_bytes / static_cast<double>(sharing));
    if (job.memory.limit) {
      const auto of_job = static_cast<std::size_t>(*job.memory.limit);
      limit = limit > 0 ? std::min(limit, of_job) : of_job;
    }
    limits.push_back(limit);
  }
  return limits;
}

FitOptions fit_options_of(const JobSpec& job) {
  FitOptions options;
  options.recompute = job.memory.recompute != Recompute::never;
  options.all_cheap = job.memory.recompute == Recompute::always;
  return options;
}

namespace {

// The devices of a job, and if it has one another beside it.
std::vector<std::string> at_least_two(std::vector<std::string> devices) {
  if (devices.size() > 1) return devices;
  DeviceName other = DeviceName::parse(devices[0]);
  ++other.index;
  devices.push_back(other.to_string());
  return devices;
}

}  // namespace

std::string what_would_help(const JobSpec& job, const Trial& trial) {
  std::string text;
  JobSpec as_it_is = job;  // with the split that was chosen
  as_it_is.parallel.automatic_split = false;
  as_it_is.parallel.chosen.reset();
  as_it_is.parallel.groups.reset();
  const auto attempt = [&](const JobSpec& tried, const std::string& words) {
    const std::optional<std::size_t> peak = trial(tried);
    if (peak) text += (text.empty() ? "" : ", or ") + words + " (" + size_in_words(*peak) + ")";
    return peak.has_value();
  };
  if (job.memory.recompute == Recompute::never) {
    JobSpec tried = as_it_is;
    tried.memory.recompute = Recompute::automatic;
    attempt(tried, "memory.recompute: auto");
  }
  for (std::int64_t passes = 2; passes <= 16 && job.data.batch % passes == 0; passes *= 2) {
    JobSpec tried = as_it_is;
    tried.data.batch /= passes;
    tried.solver.accumulate *= passes;
    if (attempt(tried,
                fmt::format("data.batch: {} and solver.accumulate: {}", tried.data.batch, tried.solver.accumulate))) {
      break;
    }
  }
  // Where the split is to be chosen all have been looked at.
  JobSpec divided = as_it_is;
  divided.parallel.devices = at_least_two(job.parallel.devices);
  const auto devices = static_cast<std::int64_t>(divided.parallel.devices.size());
  std::vector<std::int64_t> splits;  // larger ones first
  for (std::int64_t split = job.parallel.split + 1; split <= devices; ++split) splits.push_back(split);
  for (std::int64_t split = 1; split < job.parallel.split; ++split) splits.push_back(split);
  for (const std::int64_t split : splits) {
    const bool more = divided.parallel.devices.size() > job.parallel.devices.size();
    if (devices % split != 0 || (job.parallel.automatic_split && !more)) continue;
    divided.parallel.split = split;
    if (attempt(divided, fmt::format("{}parallel.split: {}", more ? "two devices and " : "", split))) break;
  }
  if (job.precision == Precision::fp32) {
    JobSpec tried = as_it_is;
    tried.precision = Precision::bf16;
    attempt(tried, "precision: bf16");
  }
  return text;
}

ConfigError does_not_fit(const JobSpec& job, const Network& network, const PlanOptions& options, const Plan& plan,
                         const MemoryPlan& memory, const Trial& trial) {
  const auto device = static_cast<std::size_t>(
      std::max_element(memory.use.begin(), memory.use.end(),
                       [](const MemoryUse& a, const MemoryUse& b) { return a.peak < b.peak; }) -
      memory.use.begin());
  const std::size_t again = options.recompute.size();
  const bool trains = plan.mode == PlanMode::train;
  const std::string help = trains && trial ? what_would_help(job, trial) : "";
  return {job.memory.limit_where,
          fmt::format("memory.limit: {} is too little: {} needs {}{}; largest: {}; {}",
                      size_in_words(static_cast<std::size_t>(*job.memory.limit)), plan.devices[device].name,
                      size_in_words(memory.use[device].peak),
                      again > 0 ? fmt::format(", though {} value{} computed again in backward", again,
                                              again == 1 ? " is" : "s are")
                                : "",
                      largest_layers(network, plan, memory, static_cast<int>(device)),
                      !help.empty() ? "it would fit with " + help
                      : trains      ? "neither several passes, nor a split, nor bf16 alone would make it fit"
                                    : "a smaller data.batch would help")};
}

}  // namespace hadal
