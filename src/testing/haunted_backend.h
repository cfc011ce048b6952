#pragma once
// A backend one of whose kernels has accidents, for tests of what then happens.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "ops/reference/reference.h"
#include "plan/plan.h"

namespace hadal::testing {

// Before each run of the kernel of one step.
using Accident = std::function<void(const StepValues&)>;

class HauntedKernel : public Kernel {
 public:
  HauntedKernel(std::unique_ptr<Kernel> kernel, Accident accident)
      : kernel_(std::move(kernel)), accident_(std::move(accident)) {}
  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    accident_(values);
    kernel_->run(arguments, scratch, values);
  }
  std::size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  std::string implementation() const override { return kernel_->implementation(); }

 private:
  std::unique_ptr<Kernel> kernel_;
  Accident accident_;
};

// The reference backend, whose `nth` kernel has accidents. Plans bind their kernels in the order of their steps.
class HauntedBackend : public Backend {
 public:
  HauntedBackend(int nth, Accident accident) : nth_(nth), accident_(std::move(accident)) {}
  std::string name() const override { return reference_->name(); }
  Layout image_layout() const override { return reference_->image_layout(); }
  std::unique_ptr<Kernel> bind(const Op& op, int threads) override {
    auto kernel = reference_->bind(op, threads);
    if (bound_++ != nth_) return kernel;
    return std::make_unique<HauntedKernel>(std::move(kernel), accident_);
  }

 private:
  std::unique_ptr<Backend> reference_ = make_reference_backend();
  int nth_, bound_ = 0;
  Accident accident_;
};

// Which kernel of a plan, counted as it is bound, a step of a device runs; -1: none.
inline int kernel_of(const Plan& plan, const std::string& name, int device) {
  int nth = 0, found = -1;
  for (const Step& step : plan.steps) {
    if (step.name == name && step.device == device && found < 0) found = nth;
    nth += std::holds_alternative<Compute>(step.body);
  }
  return found;
}

}  // namespace hadal::testing
