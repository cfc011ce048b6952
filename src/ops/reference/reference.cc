#include "ops/reference/reference.h"

#include <utility>

#include "ops/in_fp32.h"
#include "ops/reference/loops.h"

namespace hadal {

namespace {

class ReferenceKernel final : public Kernel {
 public:
  explicit ReferenceKernel(Op op) : op_(std::move(op)) {}

  void run(std::span<std::byte* const> arguments, std::byte* /*scratch*/, const StepValues& values) override {
    reference::run_any<float>(op_, {arguments, values});
  }
  std::string implementation() const override { return "reference"; }

 private:
  Op op_;
};

// Every element of a result is computed by itself, in one order, so units and threads make no difference.
class ReferenceBackend final : public Backend {
 public:
  std::string name() const override { return "reference"; }
  Layout image_layout() const override { return Layout::canonical; }
  std::unique_ptr<Kernel> bind(const Op& op, int /*threads*/) override {
    return bind_in_fp32(op, [](const Op& wide) { return std::make_unique<ReferenceKernel>(wide); });
  }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace hadal
