#pragma once
// What limits a training run: computing, exchange between devices, or input.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/sample_source.h"
#include "nn/network.h"
#include "plan/plan.h"
#include "runner/local_runner.h"
#include "spec/job.h"

namespace hadal {

// What was measured over some steps.
struct Measured {
  std::int64_t steps = 0;
  double wait_seconds = 0;            // for batches
  double step_seconds = 0;            // with them
  std::vector<DeviceUse> devices;     // in those steps
  std::vector<InputCounters> stages;  // of the input, in the order in which a sample passes them
  int cores = 1;                      // of this machine, and those of all devices together
  int device_cores = 1;
};

// Shares of the time of steps, which sum up to 1.
struct Verdict {
  std::string bound_by;  // "compute", "exchange" or "input"
  double compute_share = 0, exchange_share = 0, input_share = 0;
  std::string stage;   // what takes the most time of it: a stage of the input, a link, a layer or device
  std::string change;  // what makes it shorter
  double at_most = 0;  // how many times as fast the run can become by that; 0 where nothing is known of it

  double share() const {
    return bound_by == "input" ? input_share : bound_by == "exchange" ? exchange_share : compute_share;
  }
};

// Input: where devices wait for batches for at least a tenth of the time: then nothing else makes the run faster, since
// batches are made while devices compute. Else exchange, where the device that computes longest waits for others longer
// than it computes. Else compute. Only shares, and no words, where that is enough.
Verdict judge(const Measured& measured);
Verdict judge(const Measured& measured, const JobSpec& job, const Network& network, const Plan& plan);

// "input-bound: devices wait for batches 63 % of the time (exchange 4 %, compute 33 %), longest for decode; ..."
std::string describe(const Verdict& verdict);

// {"bound_by", "compute_share", "exchange_share", "input_share"}, and where they are known "stage", "change" and
// "change_at_most".
nlohmann::ordered_json to_json(const Verdict& verdict);

}  // namespace hadal
