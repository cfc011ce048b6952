#pragma once
// What keeps a job's plans to the memory of its devices, or says why they cannot.

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "ops/backend.h"
#include "plan/fit.h"
#include "spec/job.h"

namespace hadal {

// What kernels need beside their tensors, learned by binding plans: for plans of the same network that are not bound.
class KernelScratch {
 public:
  void learn(const Plan& plan, const std::vector<std::unique_ptr<Device>>& devices, Backend& backend);

  MemoryOptions memory(const Plan& plan) const;

 private:
  std::map<std::pair<std::string, int>, std::size_t> by_device_;  // by name of the step, and device
  std::map<std::string, std::size_t> by_name_;                    // of the device with the most
  std::vector<std::size_t> shared_;                               // by stream
};

// By device, in bytes: memory.limit, and what the machine's devices have, where that is less: divided among those that
// share a memory. 0: none.
std::vector<std::size_t> memory_limits(const JobSpec& job, const Machine& machine);

// FitOptions without `limit` and `memory`: what the job says of computing again.
FitOptions fit_options_of(const JobSpec& job);

// Plans a job as it would be run: the bytes of the device that needs the most, or nothing where the job is refused or
// does not fit.
using Trial = std::function<std::optional<std::size_t>(const JobSpec& job)>;

// "memory.recompute: auto (1.2 GB), or precision: bf16 (0.9 GB)": single changes to a job that does not fit, with which
// it was planned and does. Empty: none was found.
std::string what_would_help(const JobSpec& job, const Trial& trial);

// For memory.limit, after fit() did not succeed: the device, its largest layers and what would help. `options` and
// `memory` are of the plan that does not fit.
ConfigError does_not_fit(const JobSpec& job, const Network& network, const PlanOptions& options, const Plan& plan,
                         const MemoryPlan& memory, const Trial& trial);

}  // namespace hadal
