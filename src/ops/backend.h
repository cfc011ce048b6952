#pragma once
// What a backend offers: kernels for operators. Backends know nothing of plans.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "device/stream.h"
#include "nn/op.h"

namespace hadal {

// One operator, ready to run. Run by one thread at a time; allocates nothing of its own while it runs.
class Kernel {
 public:
  virtual ~Kernel() = default;

  // `arguments` in the operator's order (nn/op.h); what is read may not overlap what is written. `scratch` holds
  // scratch_bytes(), aligned to 64; its contents are lost between runs.
  virtual void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) = 0;

  virtual std::size_t scratch_bytes() const { return 0; }

  // What runs it: "loops", "jit:avx2", ... Names that begin with "ref" are slow; doctor and bench flag them.
  virtual std::string implementation() const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;

  // The layout that convolutions and poolings of this backend like best between each other.
  virtual Layout image_layout() const = 0;

  // Under `reproducible` (an operator with units) the kernel gives the bits of its units run one by one on one thread;
  // throws DeviceError where no way to do so is found. `threads`: cores that the kernel may use at once; the thread
  // that runs it must allow OpenMP as many.
  virtual std::unique_ptr<Kernel> bind(const Op& op, int threads) = 0;
};

}  // namespace hadal
