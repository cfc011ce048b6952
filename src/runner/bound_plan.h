#pragma once
// A plan on devices that are here: kernels, addresses, and a program for each stream.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "ops/backend.h"
#include "plan/memory.h"
#include "plan/plan.h"

namespace hadal {

// Kernels of a stream that need no more scratch share so much; what larger ones need is free for tensors while others
// run.
inline constexpr std::size_t kSharedScratch = 16384;

// A kernel with its addresses.
class BoundKernel : public Work {
 public:
  // deferred: it runs with the values of the step whose exchange is done.
  BoundKernel(Kernel& kernel, std::vector<Argument> arguments, std::byte* scratch, bool deferred);

  void run(const StepValues& values) override;
  std::span<const Argument> arguments() const override { return arguments_; }

 private:
  Kernel& kernel_;
  std::vector<Argument> arguments_;
  std::vector<std::byte*> pointers_;
  std::byte* scratch_;
  bool deferred_;
};

// Binding goes in two steps, since the arenas of a family of plans are as large as its largest member: first the
// kernels, which say what scratch they need, then the addresses.
class BoundPlan {
 public:
  // Throws DeviceError where the backend cannot bind a step.
  BoundPlan(Plan plan, const std::vector<std::unique_ptr<Device>>& devices, Backend& backend);

  const Plan& plan() const { return plan_; }
  const Kernel* kernel(int step) const { return kernels_[step].get(); }  // nullptr: not a kernel
  // By stream: the most that one of its kernels needs, of those that need at most `most`.
  std::vector<std::size_t> scratch_bytes(std::size_t most = SIZE_MAX) const;
  std::vector<std::size_t> scratch_above(std::size_t most) const;  // by step, 0 where it needs no more than that

  void set_memory(MemoryPlan memory) { memory_ = std::move(memory); }
  const MemoryPlan& memory() const { return memory_; }

  // Places everything in `arenas` (by device, each at least memory().use[d].peak bytes).
  void place(const std::vector<std::byte*>& arenas);

  std::byte* address(const Range& range) const;
  std::size_t bytes(const Range& range) const;

  // The work of step i, after place(): a BoundKernel or a copy.
  Work* work(int step) const { return work_[step].get(); }
  Copy copy(int index);

  // What transfers have brought from device to device since the beginning.
  std::uint64_t copied_bytes(int from, int to) const { return copied_[pair(from, to)].load(std::memory_order_relaxed); }

  // One for each (device, stream): index device * kStreamKinds + stream. Empty where the stream has nothing to do.
  const std::vector<Program>& programs() const { return programs_; }

 private:
  std::size_t scratch_at(int step) const;  // where its kernel's is in the arena
  std::size_t pair(int from, int to) const {
    return static_cast<std::size_t>(from) * plan_.devices.size() + static_cast<std::size_t>(to);
  }

  Plan plan_;
  std::vector<std::unique_ptr<Kernel>> kernels_;  // by step
  MemoryPlan memory_;
  std::vector<std::byte*> arenas_;
  std::vector<std::unique_ptr<BoundKernel>> work_;  // by step
  std::vector<std::unique_ptr<Event>> events_;      // by step, where another stream waits for it
  std::vector<Program> programs_;
  std::vector<std::atomic<std::uint64_t>> copied_;  // by pair()
};

}  // namespace hadal
