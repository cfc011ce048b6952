#pragma once
// A plan as JSON: the contract of `hadal plan --json` and of a run's plan.json (docs/formats.md).

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "plan/choose.h"
#include "plan/memory.h"
#include "plan/plan.h"
#include "plan/simulate.h"

namespace hadal {

// What a training plan does to fit into memory.
struct FitReport {
  std::vector<std::size_t> limit;       // by device: bytes, 0: none; empty where nothing was asked for
  std::vector<std::string> recomputed;  // values that backward computes again, in the order of forward
  std::size_t kept_peak_bytes = 0;      // of the device with the most, if all were kept
  double kept_seconds = 0;              // a step's then
};

// What is known of a plan's step before it runs.
struct Prediction {
  Machine machine;
  Simulation simulation;                // on it
  std::vector<Considered> considered;   // ways to exchange, the fastest first; empty where nothing was left to choose
  std::vector<ConsideredSplit> splits;  // the fastest first; empty where nothing was compared
  bool automatic_split = false;         // the plan's was chosen
  FitReport fit;
  double undeferred_seconds = 0;  // a step's, if it left nothing of its exchange to the next
  // Where devices have states of their own: what averaging them takes, how many bytes are sent or read for it, and
  // after how many steps it is done. Not part of `simulation`.
  double average_seconds = 0;
  std::size_t average_bytes = 0;
  std::int64_t average_every = 0;  // 0: never

  // With a step's share of the averages.
  double step_seconds() const {
    return simulation.step_seconds + (average_every == 0 ? 0 : average_seconds / static_cast<double>(average_every));
  }
  // A step's share.
  std::size_t state_bytes_per_step() const {
    return average_every == 0 ? 0 : average_bytes / static_cast<std::size_t>(average_every);
  }
};

nlohmann::ordered_json plan_to_json(const Plan& plan, const Network& network, const MemoryPlan& memory,
                                    const Prediction& prediction);

// Every step in order, with its stream, what it touches and what it waits for.
nlohmann::ordered_json steps_to_json(const Plan& plan);

const char* to_string(ExchangeContent content);

// Why a layer of a plan with `split` above 1 is divided or whole, in a word or two; empty where there is nothing to
// say.
std::string why_so(const Plan& plan, const Network& network, int layer);

}  // namespace hadal
