#include "ops/in_fp32.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ops/arguments.h"

namespace hadal {

namespace {

class InFp32 final : public Kernel {
 public:
  InFp32(const std::vector<OpArgument>& arguments, const std::vector<OpArgument>& wide, std::unique_ptr<Kernel> kernel,
         const std::function<std::unique_ptr<Kernel>(const Op&)>& bind)
      : kernel_(std::move(kernel)), inner_(arguments.size()) {
    std::size_t own = kernel_->scratch_bytes();
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].type == wide[i].type) continue;
      const std::int64_t elements = arguments[i].elements;
      ArrayCopy copy{i, 0, nullptr, nullptr};
      if (arguments[i].access != Access::write) copy.widen = bind(Convert{elements, DType::bf16, DType::f32});
      if (arguments[i].access != Access::read) copy.narrow = bind(Convert{elements, DType::f32, DType::bf16});
      for (const Kernel* convert : {copy.widen.get(), copy.narrow.get()}) {
        if (convert != nullptr) own = std::max(own, convert->scratch_bytes());
      }
      copies_.push_back(std::move(copy));
      sizes.push_back(wide[i].bytes());
    }
    bytes_ = aligned(own);
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      copies_[i].offset = bytes_;
      bytes_ += aligned(sizes[i]);
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    std::copy(arguments.begin(), arguments.end(), inner_.begin());
    for (const ArrayCopy& copy : copies_) {
      inner_[copy.argument] = scratch + copy.offset;
      if (copy.widen) copy.widen->run(std::array{arguments[copy.argument], inner_[copy.argument]}, scratch, values);
    }
    kernel_->run(inner_, scratch, values);
    for (const ArrayCopy& copy : copies_) {
      if (copy.narrow) copy.narrow->run(std::array{inner_[copy.argument], arguments[copy.argument]}, scratch, values);
    }
  }

  std::size_t scratch_bytes() const override { return bytes_; }
  std::string implementation() const override { return kernel_->implementation() + " in fp32"; }

 private:
  struct ArrayCopy {
    std::size_t argument, offset;  // in scratch
    std::unique_ptr<Kernel> widen, narrow;
  };

  static std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

  std::unique_ptr<Kernel> kernel_;
  std::vector<std::byte*> inner_;
  std::size_t bytes_ = 0;
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

std::optional<Op> in_bf16(const Op& op) {
  return std::visit(
      [](auto which) -> std::optional<Op> {
        if constexpr (requires { which.destination_type; }) which.destination_type = DType::bf16;
        if constexpr (requires { which.copies; }) which.copies = true;
        if constexpr (requires { which.gradient.type; }) which.gradient.type = DType::bf16;
        if constexpr (requires { which.type; }) which.type = DType::bf16;
        if constexpr (
            requires { which.type; } || requires { which.copies; })
          return which;
        return std::nullopt;
      },
      op);
}

std::unique_ptr<Kernel> bind_in_fp32(const Op& op, const std::function<std::unique_ptr<Kernel>(const Op&)>& bind) {
  const Op wide = in_fp32(op);
  const std::vector<OpArgument> arguments = arguments_of(op), wide_arguments = arguments_of(wide);
  std::unique_ptr<Kernel> kernel = bind(wide);
  if (same_types(arguments, wide_arguments)) return kernel;
  return std::make_unique<InFp32>(arguments, wide_arguments, std::move(kernel), bind);
}

}  // namespace hadal
