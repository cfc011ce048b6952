#pragma once
// Copies over the links of a machine, in real time: what makes fake devices wait as long as the machine would.

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "device/machine.h"
#include "device/stream.h"

namespace hadal {

// Thread-safe. Nothing allocates but the first copy between two nodes.
class Traffic {
 public:
  explicit Traffic(Machine machine);

  // Blocks until a copy that was asked for at `begin` has flowed from node to node (machine.h). False where `abort` was
  // raised before.
  bool carry(int from, int to, std::size_t bytes, Clock::time_point begin, const Abort& abort);

  const Machine& machine() const { return machine_; }
  std::vector<std::uint64_t> port_bytes() const;  // that each port has carried to their end

 private:
  using Seconds = std::chrono::duration<double>;

  // A copy that flows.
  struct Flow {
    const Way* way = nullptr;
    double left = 0;  // bytes, at time `now_`
    double rate = 0;  // bytes a second
    bool done = false;
  };

  const Way& way(int from, int to);
  void advance(Clock::time_point now);
  void set_rates();

  const Machine machine_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int, int>, Way> ways_;
  std::vector<Flow*> flows_;
  std::vector<int> flows_through_;  // by port
  std::vector<std::uint64_t> port_bytes_;
  Clock::time_point now_{};  // up to when flows were advanced
};

}  // namespace hadal
