#pragma once
// A job's network on its devices: the family of plans, bound, over one set of parameters.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/network.h"
#include "plan/json.h"
#include "runner/local_runner.h"
#include "spec/job.h"
#include "train/memory_limit.h"

namespace hadal {

// One member of a family: what is done, with how many rows.
struct PlanKey {
  PlanMode mode = PlanMode::train;
  std::int64_t rows = 0;

  bool operator==(const PlanKey&) const = default;
};

struct BatchResult {
  double loss_sum = 0;  // over the rows, in their order
  std::int64_t rows = 0, correct = 0, correct_top5 = 0;
  double gradient_norm = 0;  // before clipping; 0 where the job does not clip

  double loss() const { return loss_sum / static_cast<double>(rows); }
};

// Cores that each of the job's devices may use: --threads, or the machine's divided among them; 1 under `reproducible`.
int threads_of_each_device(const JobSpec& job);

// What the job's devices are in the file that it names, or one switch. Throws ConfigError.
Machine machine_of(const JobSpec& job);

std::unique_ptr<Backend> make_backend(const JobSpec& job);
using BackendMaker = std::function<std::unique_ptr<Backend>(const JobSpec&)>;
DType dtype_of(Precision precision);

// One thread calls it. run() allocates nothing unless the runner traces.
class Engine {
 public:
  // Binds one plan for each key; where something trains, the first is for a whole batch of that. How the exchange goes,
  // and how the devices divide the model, is chosen for it where the job leaves that open. With
  // RunnerOptions::plan_only and ParallelSpec::described, devices have the names and memories of the machine's. Throws
  // ConfigError or DeviceError where the job cannot run here.
  Engine(const JobSpec& given, const Network& network, const std::vector<PlanKey>& keys,
         const RunnerOptions& options = {}, const BackendMaker& backend_of = make_backend)
      : Engine(given, network, keys, options, backend_of, true) {}

  // `batch` is staged as data/batch_loader.h says. step: training steps already taken.
  BatchResult run(const PlanKey& key, const void* batch, std::uint64_t step, double rate);

  // How many logits of each row of the last run() are larger than its label's, or as large and before it.
  std::span<const std::int32_t> ranks() const { return std::span(ranks_).first(ranked_rows_); }

  // Class probabilities of `rows` samples, row-major; for PlanMode::predict.
  std::vector<float> predict(std::int64_t rows, const void* batch);

  // Does what the last training step left of its exchange: before parameters or states are read. Throws as run() does.
  void settle() { runner_->settle(); }

  // Where devices have states of their own, those become their mean, after `step` training steps.
  void average_states(std::uint64_t step);

  // What LocalRunner::read_state() numbers: the rule's states, or "squares.D" of each device D.
  std::vector<std::string> states(const UpdateRule& rule) const;

  void initialise(std::uint64_t seed);
  LocalRunner& runner() { return *runner_; }
  const LocalRunner& runner() const { return *runner_; }
  const Network& network() const { return network_; }
  const Prediction& prediction() const { return prediction_; }  // of the first plan
  int plan_index(const PlanKey& key) const;

 private:
  // advises: where the job does not fit into memory, other settings are tried; else its error says nothing of them.
  Engine(const JobSpec& given, const Network& network, const std::vector<PlanKey>& keys, const RunnerOptions& options,
         const BackendMaker& backend_of, bool advises);

  // Lets training plans compute values again as far as the job's devices cannot hold them. Throws ConfigError where
  // they need more than memory.limit nevertheless.
  void fit_into_memory(const JobSpec& job, std::vector<Plan>& plans, std::vector<PlanOptions>& options,
                       const std::vector<std::unique_ptr<Device>>& devices, Backend& backend, const Trial& trial);

  const Network& network_;
  Prediction prediction_;
  std::vector<PlanKey> keys_;
  std::unique_ptr<LocalRunner> runner_;
  std::vector<float> losses_;
  std::vector<std::int32_t> ranks_;
  std::size_t ranked_rows_ = 0;
};

}  // namespace hadal
