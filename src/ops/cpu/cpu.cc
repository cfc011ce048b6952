#include "ops/cpu/cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/threads.h"
#include "ops/in_fp32.h"

namespace hadal {

namespace {

template <class OpType>
concept OnRows = requires(const OpType& op) {
  op.rows.units;
};

bool has_units(const FullyConnectedUpdate& op) {
  return !op.gradient.output_units.empty() || !op.gradient.rows.units.empty();
}

template <class OpType>
bool has_units(const OpType& op) {
  if constexpr (requires { op.output_units; }) {
    if (!op.output_units.empty()) return true;
  }
  if constexpr (OnRows<OpType>) return !op.rows.units.empty();
  return false;
}

// A parallel region of a product costs some ten microseconds, more where another process wants a core.
constexpr std::int64_t kParallelFlops = 4'000'000;

template <class OpType>
int useful_threads(const OpType& op, int threads) {
  if (has_units(op)) return 1;
  const std::int64_t flops = op_flops(op);
  return flops > 0 && flops < kParallelFlops ? 1 : threads;
}

// For no rows: nothing to compute, and sums of nothing are zero.
class NoRows final : public LoopKernel {
 public:
  NoRows() = default;
  explicit NoRows(std::vector<std::int64_t> sums_floats) : sums_floats_(std::move(sums_floats)) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    for (std::size_t i = 0; i < sums_floats_.size(); ++i)
      std::fill_n(floats_out(arguments, 2 + i), sums_floats_[i], 0.0f);
  }

 private:
  std::vector<std::int64_t> sums_floats_;  // of arguments 2, 3, ...
};

template <class OpType>
std::unique_ptr<Kernel> bind_no_rows(const OpType&) {
  return std::make_unique<NoRows>();
}
std::unique_ptr<Kernel> bind_no_rows(const ConvBackwardWeights& op) {
  return std::make_unique<NoRows>(std::vector<std::int64_t>{op.shape.weight_elements(), op.shape.out});
}
std::unique_ptr<Kernel> bind_no_rows(const FullyConnectedBackwardWeights& op) {
  return std::make_unique<NoRows>(std::vector<std::int64_t>{op.outputs * op.in, op.outputs});
}

class CpuBackend final : public Backend {
 public:
  std::string name() const override { return "cpu"; }
  Layout image_layout() const override { return Layout::channels_last; }

  std::unique_ptr<Kernel> bind(const Op& op, int threads) override {
    const std::lock_guard lock(mutex_);
    try {
      return std::visit([&](const auto& which) { return bind_one(which, threads); }, op);
    } catch (const dnnl::error& error) {
      throw DeviceError(fmt::format("cannot make a cpu kernel for {}: oneDNN says: {}", op_name(op), error.what()));
    }
  }

 private:
  template <class OpType>
  std::unique_ptr<Kernel> bind_one(const OpType& op, int threads) {
    if constexpr (OnRows<OpType>) {
      if (op.rows.count == 0) return bind_no_rows(op);
    }
    BindContext context{.threads = useful_threads(op, threads), .self_tests = self_tests_};
    const OmpThreads scope(context.threads);  // oneDNN's primitives remember it from when they are made
    if (std::unique_ptr<Kernel> kernel = bind_kernel(op, context)) return kernel;
    return bind_in_fp32(op, [&](const Op& wide) {
      return std::visit([&](const auto& which) { return bind_kernel(which, context); }, wide);
    });
  }

  std::mutex mutex_;
  SelfTests self_tests_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

bool cpu_has_bf16() { return onednn::has_bf16(); }

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  const char* isa = [] {
    switch (dnnl_get_effective_cpu_isa()) {
      case dnnl_cpu_isa_sse41:
        return "SSE4.1";
      case dnnl_cpu_isa_avx:
        return "AVX";
      case dnnl_cpu_isa_avx2:
        return "AVX2";
      case dnnl_cpu_isa_avx2_vnni:
        return "AVX2 with VNNI";
      case dnnl_cpu_isa_avx512_core:
        return "AVX-512";
      case dnnl_cpu_isa_avx512_core_vnni:
        return "AVX-512 with VNNI";
      case dnnl_cpu_isa_avx512_core_bf16:
        return "AVX-512 with bf16";
      case dnnl_cpu_isa_avx512_core_amx:
        return "AVX-512 with AMX";
      default:
        return "the processor's instructions";
    }
  }();
  return fmt::format("{}.{}.{}, {}", version->major, version->minor, version->patch, isa);
}

}  // namespace hadal
