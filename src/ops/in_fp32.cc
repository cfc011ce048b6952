#include "ops/in_fp32.h"

#include <algorithm>
#include <vector>

#include "ops/arguments.h"
#include "tensor/bf16.h"

namespace hadal {

namespace {

class InFp32 final : public Kernel {
 public:
  InFp32(const std::vector<OpArgument>& arguments, const std::vector<OpArgument>& wide, std::unique_ptr<Kernel> kernel)
      : kernel_(std::move(kernel)), inner_(arguments.size()), bytes_((kernel_->scratch_bytes() + 63) / 64 * 64) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].type == wide[i].type) continue;
      copies_.push_back({i, arguments[i].access, arguments[i].elements, bytes_});
      bytes_ += (wide[i].bytes() + 63) / 64 * 64;
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    std::copy(arguments.begin(), arguments.end(), inner_.begin());
    for (const ArrayCopy& copy : copies_) {
      inner_[copy.argument] = scratch + copy.offset;
      if (copy.access == Access::write) continue;
      const auto* from = reinterpret_cast<const Bf16*>(arguments[copy.argument]);
      auto* to = reinterpret_cast<float*>(inner_[copy.argument]);
      for (std::int64_t i = 0; i < copy.elements; ++i) to[i] = static_cast<float>(from[i]);
    }
    kernel_->run(inner_, scratch, values);
    for (const ArrayCopy& copy : copies_) {
      if (copy.access == Access::read) continue;
      const auto* from = reinterpret_cast<const float*>(inner_[copy.argument]);
      auto* to = reinterpret_cast<Bf16*>(arguments[copy.argument]);
      for (std::int64_t i = 0; i < copy.elements; ++i) to[i] = Bf16(from[i]);
    }
  }

  std::size_t scratch_bytes() const override { return bytes_; }
  std::string implementation() const override { return kernel_->implementation() + " in fp32"; }

 private:
  struct ArrayCopy {
    std::size_t argument;
    Access access;
    std::int64_t elements;
    std::size_t offset;  // in scratch
  };

  std::unique_ptr<Kernel> kernel_;
  std::vector<std::byte*> inner_;
  std::size_t bytes_;
  std::vector<ArrayCopy> copies_;
};

bool same_types(const std::vector<OpArgument>& a, const std::vector<OpArgument>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const OpArgument& x, const OpArgument& y) { return x.type == y.type; });
}

}  // namespace

Op in_fp32(const Op& op) {
  return std::visit(
      [](auto which) -> Op {
        if constexpr (requires { which.type; }) which.type = DType::f32;
        if constexpr (requires { which.destination_type; }) which.destination_type = DType::f32;
        if constexpr (requires { which.gradient.type; }) which.gradient.type = DType::f32;
        return which;
      },
      op);
}

std::unique_ptr<Kernel> bind_in_fp32(const Op& op, const std::function<std::unique_ptr<Kernel>(const Op&)>& bind) {
  const Op wide = in_fp32(op);
  const std::vector<OpArgument> arguments = arguments_of(op), wide_arguments = arguments_of(wide);
  std::unique_ptr<Kernel> kernel = bind(wide);
  if (same_types(arguments, wide_arguments)) return kernel;
  return std::make_unique<InFp32>(arguments, wide_arguments, std::move(kernel));
}

}  // namespace hadal
