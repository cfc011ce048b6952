#pragma once
// Which way of exchanging, and of splitting a model, is the fastest on a described machine.

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "device/machine.h"
#include "plan/fit.h"
#include "plan/plan.h"

namespace hadal {

// What a plan needs beside its tensors, for planning its memory. Empty: not known, taken as nothing.
using MemoryOf = std::function<MemoryOptions(const Plan&)>;

// A way that was simulated.
struct Considered {
  ExchangeTopology topology = ExchangeTopology::direct;
  ExchangeContent content = ExchangeContent::automatic;
  double step_seconds = 0;
  bool fits = true;  // into the memory of the machine's devices, as far as that is known
};

// What may be chosen.
struct Freedom {
  bool topology = false, content = false;
};

// Simulates the training plan of `options` with every topology that sends and, unless the order of sums is fixed, with
// both contents, as far as `freedom` goes; sets `options` to the fastest of those that fit (of all where none does), of
// equals to the first: direct before line, tree and ring, the fewest bytes before gradients. All ways: the chosen one,
// then the others, the fastest first.
std::vector<Considered> choose_exchange(const Network& network, PlanOptions& options, const Machine& machine,
                                        const Freedom& freedom, const MemoryOf& memory = {});

struct DeferredChoice {
  PlanOptions::Deferred deferred;
  double undeferred_seconds = 0;  // a step's that leaves nothing
};

// A division of the devices into groups that was simulated: pure data parallelism (split 1), one model on all devices,
// or both.
struct ConsideredSplit {
  int split = 1;
  std::vector<int> whole;  // layers that stay whole since that is better (SplitFreedom::layers)
  double step_seconds = 0;
  std::size_t peak_bytes = 0;  // of the device that needs the most
  bool with_scratch = false;   // ... with what its kernels need
  bool fits = true;            // into the limits, and the memory of the machine's devices as far as that is known
};

// What a division has over pure data parallelism: time or memory, by a hundredth at least, both or neither; or that it
// fits at all.
enum class Gain { none, time, memory, both, fits };

// `all`: with that of split 1, else nothing is known to be gained.
Gain what_it_buys(const ConsideredSplit& way, const std::vector<ConsideredSplit>& all);

const char* to_string(Gain gain);  // "nothing", "time", "memory", "time and memory", "that it fits"

// What is open where divisions are compared.
struct SplitFreedom {
  Freedom exchange{};
  std::optional<int> deferred{};  // layers whose exchange is left to the next step, where that is given
  bool layers = false;            // which layers stay whole
  // What the kernels of a plan need, for it and others of its division. Absent: not known.
  std::function<MemoryOf(const Plan&)> kernels{};
  std::size_t limit = 0;  // of each device, beside what its machine says; 0: none
  FitOptions fit{};       // how plans are made to fit, but for `memory`; without limits they are left as they are
};

// Simulates the training plan of `options` with each `split` that divides its devices and is possible, with the fastest
// exchange that is open. Where `layers` are open too, each layer that would be divided is tried whole, those first that
// take the fewest operations, and stays so where a step gets shorter by a hundredth, or only so fits; of many layers
// only the first are tried. What is then too large computes values again, as the plan would. The fastest first, those
// that fit before others, of equals the smaller split.
std::vector<ConsideredSplit> consider_splits(const Network& network, const PlanOptions& options, const Machine& machine,
                                             const SplitFreedom& freedom);

// How much of a step's exchange is best left to the next step, as far as it fits: nothing unless a step gets shorter by
// a hundredth. Of many layers only some numbers are tried. `updates`: given; only `gathers` is then chosen.
DeferredChoice choose_deferred(const Network& network, const PlanOptions& options, const Machine& machine,
                               std::optional<int> updates = {}, const MemoryOf& memory = {});

// Whether the options let a step leave something of its exchange to the next one.
bool may_defer(const PlanOptions& options);

}  // namespace hadal
