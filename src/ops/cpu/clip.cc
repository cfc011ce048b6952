// Clipping by the global norm, as PyTorch's clip_grad_norm_: sums of squares of the gradient's pieces, then the scale
// min(1, max_norm / (norm + 1e-6)). A norm that is NaN makes the scale NaN.

#include <cmath>

#include "ops/cpu/kernels.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

double sum_of_squares(const float* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

class SquaredNormsKernel final : public LoopKernel {
 public:
  SquaredNormsKernel(const SquaredNorms& op, int threads) : pieces_(op.pieces), threads_(threads) {
    std::int64_t first = 0;
    for (const std::int64_t length : pieces_) {
      firsts_.push_back(first);
      first += length;
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const float* gradient = floats_in(arguments, 0);
    double* squares = reinterpret_cast<double*>(arguments[1]);
    const auto count = static_cast<std::int64_t>(pieces_.size());
    parallel_for(threads_, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto piece = static_cast<std::size_t>(i);
        squares[i] = sum_of_squares(gradient + firsts_[piece], pieces_[piece]);
      }
    });
  }

 private:
  std::vector<std::int64_t> pieces_, firsts_;
  int threads_;
};

class ClipScaleKernel final : public LoopKernel {
 public:
  explicit ClipScaleKernel(const ClipScale& op) : op_(op) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const double* squares = reinterpret_cast<const double*>(arguments[0]);
    double sum = 0;
    for (std::int64_t i = 0; i < op_.count; ++i) sum += squares[i];
    const double norm = std::sqrt(sum);
    const double scale = op_.max_norm / (norm + 1e-6);
    *floats_out(arguments, 1) = static_cast<float>(scale > 1 ? 1 : scale);
    *floats_out(arguments, 2) = static_cast<float>(norm);
  }

 private:
  ClipScale op_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const SquaredNorms& op, BindContext& context) {
  return std::make_unique<SquaredNormsKernel>(op, context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const ClipScale& op, BindContext&) { return std::make_unique<ClipScaleKernel>(op); }

}  // namespace hadal
