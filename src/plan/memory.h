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
};

struct MemoryUse {
  std::size_t parameters = 0, state = 0, gradients = 0, activations = 0, scratch = 0;  // high-water marks by kind
  std::size_t peak = 0;                                                                // of the arena, all together
};

struct MemoryPlan {
  std::vector<std::size_t> offset;                         // by tensor
  std::vector<std::size_t> scratch_offset, scratch_bytes;  // by stream
  std::vector<MemoryUse> use;                              // by device; `peak` is the arena's size
};

// Persistent tensors come first, so that every plan of a family finds them at the same place; then carried ones, at the
// same place in a plan that continues and in its parts. A tensor that steps of one stream alone touch lives from its
// first to its last step there; others live as long as the step.
MemoryPlan plan_memory(const Plan& plan, const MemoryOptions& options);

}  // namespace hadal
