#pragma once
// Runs a family of plans on devices of this machine, over one set of parameters.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runner/bound_plan.h"

namespace hadal {

struct RunnerOptions {
  double deadline_seconds = 600;  // of one round
  bool trace = false;             // keep when each item ran
  bool keep_activations = false;  // no two tensors share bytes: all can be read after a round
  bool plan_only = false;         // bind and plan the memory, but take none: nothing can run
  // For tests: one step at a time, in the plan's order, on the calling thread, while all memory that the step does not
  // list is closed (PROT_NONE): a kernel that touches anything else dies with SIGSEGV.
  bool guarded = false;
};

// When one item ran, for timelines.
struct TraceEvent {
  std::uint64_t round = 0;
  int plan = 0, stream = 0, step = 0;  // stream: device * kStreamKinds + kind
  Item::Kind kind = Item::Kind::run;
  Span span;
};

struct DeviceUse {
  std::size_t arena_bytes = 0;  // of the family's largest plan, the library's scratch included
  MemoryUse memory;             // of that plan
  // Of the compute stream, in rounds of training plans:
  double compute_seconds = 0;  // in kernels
  double load_seconds = 0;     // in loads from the host
  double wait_seconds = 0;     // of several devices: the rest of the rounds, for each other and for copies
};

// One thread calls it. Owns the devices; nothing allocates in run() unless `trace` is on.
class LocalRunner {
 public:
  // The plans must be of one family: same network, devices and persistent tensors. Throws DeviceError where a step
  // cannot be bound or the arenas cannot be had.
  LocalRunner(std::vector<std::unique_ptr<Device>> devices, std::unique_ptr<Backend> backend, std::vector<Plan> plans,
              const RunnerOptions& options);
  ~LocalRunner();

  // Executes plan `index` once; what is deferred, and the round, is set in `values` here. Where that plan `continues`
  // and no step before left an exchange, its sibling that `begins` runs instead; before any other plan, what was left
  // is done. Returns the plan that ran. Throws DeviceError naming device and step, and Diverged where a kernel met a
  // number that is not finite: a loss, before any device updated a parameter by that step, or a gradient.
  int run(int index, StepValues values);

  // Does the exchange that the last step left, where it left one: before parameters or states are read or written.
  // Throws as run() does.
  void settle();

  const Plan& plan(int index) const { return bound_[index]->plan(); }
  const BoundPlan& bound(int index) const { return *bound_[index]; }

  // A parameter's canonical values: to every copy, or to each device what it has of them; from the owners of fp32
  // values, or from the first group.
  void write_parameter(int parameter, const std::vector<float>& values);
  std::vector<float> read_parameter(int parameter) const;  // after a round that failed too: what owners have

  // A state of a whole parameter, gathered from its owners: one of UpdateRule::states(). With states on each device
  // (PlanOptions::device_states) that of device `state`.
  void write_state(int parameter, std::size_t state, const std::vector<float>& values);
  std::vector<float> read_state(int parameter, std::size_t state) const;

  // What a plan left in a tensor (its results) in its last round.
  void read(int index, int tensor, void* host, std::size_t bytes) const;
  std::vector<float> read_numbers(int index, int tensor) const;  // of an fp32 or bf16 tensor, in fp32

  std::vector<DeviceUse> use() const;
  std::uint64_t copied_bytes() const;  // by transfers of plans that train or average, since the beginning: counted
  std::vector<std::uint64_t> port_bytes() const { return devices_[0]->port_bytes(); }  // Device::port_bytes()
  const std::vector<TraceEvent>& trace() const { return trace_; }
  bool trace_is_full() const;  // later rounds are not in it
  const std::string& backend_name() const { return backend_name_; }

  // The arena of a device, for tests.
  std::span<std::byte> arena(int device) const { return {arenas_[device], arena_bytes_[device]}; }

 private:
  void run_plan(int index, StepValues values);
  void run_streams(int index, const StepValues& values);
  void run_guarded(int index, const StepValues& values);
  void check_memory() const;
  void set_access(int protection);
  int stuck_step(const Plan& plan, int step) const;
  [[noreturn]] void fail(int index, std::size_t stream, const StepError& error, const StepValues& values) const;

  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<Backend> backend_;
  std::string backend_name_;
  RunnerOptions options_;
  std::vector<std::unique_ptr<BoundPlan>> bound_;
  std::vector<std::byte*> arenas_;
  std::vector<std::size_t> arena_bytes_;
  std::vector<std::vector<Span>> spans_;  // by stream
  std::vector<TraceEvent> trace_;
  std::vector<StreamCounters> seen_;     // by device: before the round
  std::vector<StreamCounters> trained_;  // by device: in rounds of training plans
  std::uint64_t round_ = 0;
  int begins_ = -1, ends_ = -1;          // plans by their deferral; -1: none
  std::optional<StepValues> unsettled_;  // of the step that left its exchange
  Abort abort_;
};

}  // namespace hadal
