#pragma once
// Where each tensor of a plan lies in its device's arena.

#include <cstddef>
#include <vector>

#include "plan/plan.h"

namespace hadal {

struct MemoryOptions {
  std::size_t alignment = 64;        // of every tensor; a power of two
  std::vector<std::size_t> scratch;  // by stream (Step::stream_index()): bytes that its kernels share
  bool share = true;                 // tensors whose lifetimes do not meet may share bytes
  // By step: bytes that its kernel has to itself while it runs, placed as tensors are. Empty: none.
  std::vector<std::size_t> step_scratch{};
};

struct MemoryUse {
  std::size_t parameters = 0, state = 0, gradients = 0, activations = 0, scratch = 0;  // high-water marks by kind
  std::size_t peak = 0;                                                                // of the arena, all together
  std::size_t live = 0;  // the most that is needed at once while steps run one by one: no arena could be smaller
};

// When a device needs the most.
struct FullestMoment {
  int step = 0;
  std::vector<int> tensors;  // that live then, without persistent and carried ones
};

struct MemoryPlan {
  std::vector<std::size_t> offset;                             // by tensor
  std::vector<std::size_t> scratch_offset, scratch_bytes;      // by stream
  std::vector<std::size_t> step_scratch, step_scratch_offset;  // by step; empty where no step has its own
  std::vector<MemoryUse> use;                                  // by device; `peak` is the arena's size
  std::vector<FullestMoment> fullest;                          // by device
};

// By device and step: the bytes that are needed while the step runs, if steps run one by one in the plan's order, which
// may have no waits yet. The most of a device is its MemoryUse::live, but for what alignment takes.
std::vector<std::vector<std::size_t>> live_bytes(const Plan& plan, const MemoryOptions& options);

// Persistent tensors come first, so that every plan of a family finds them at the same place; then carried ones, at the
// same place in a plan that continues and in its parts, and what the kernels of a stream share. All else lives from its
// first to its last step; what several streams touch may be overwritten once these are known to be done with it, by the
// order of each stream and by waits.
MemoryPlan plan_memory(const Plan& plan, const MemoryOptions& options);

}  // namespace hadal
