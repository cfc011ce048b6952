// The gradient of a fully connected layer's parameters, by oneDNN's matrix product, and their update:
//
//   dw = dy^T x,   db = the sum of dy's rows
//
// A unit of outputs is its own product.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "base/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/pitch.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/update_block.h"

namespace hadal {

namespace {

// Outputs whose gradient is formed and used while it is in the cache.
constexpr std::int64_t kOutputs = 256;

// sums[c] = the sum over the rows in their order.
template <class T>
[[gnu::always_inline]] inline void sum_in_order(const T* __restrict values, std::int64_t rows, std::int64_t pitch,
                                                std::int64_t columns, float* __restrict sums) {
  for (std::int64_t c = 0; c < columns; ++c) sums[c] = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; ++c) sums[c] += static_cast<float>(values[row * pitch + c]);
  }
}
HADAL_CLONES void sum_rows(const float* values, std::int64_t rows, std::int64_t pitch, std::int64_t columns,
                           float* sums) {
  sum_in_order(values, rows, pitch, columns, sums);
}
HADAL_CLONES void sum_rows(const Bf16* values, std::int64_t rows, std::int64_t pitch, std::int64_t columns,
                           float* sums) {
  sum_in_order(values, rows, pitch, columns, sums);
}

std::int64_t largest(const std::vector<std::int64_t>& pieces) {
  return *std::max_element(pieces.begin(), pieces.end());
}

// The gradient of a few outputs at a time. Operands of bad pitch are copied.
class GradientProduct {
 public:
  GradientProduct(const FullyConnectedBackwardWeights& op, const std::vector<std::int64_t>& pieces, int threads,
                  ScratchPlan& plan)
      : op_(op), threads_(threads) {
    const auto reserve = [&](std::int64_t columns) {
      return plan.reserve(static_cast<std::size_t>(op.rows.count * packed_pitch(columns)) * sizeof(float));
    };
    if (bad_pitch(op.in)) x_at_ = reserve(op.in);
    if (bad_pitch(op.out)) dy_at_ = reserve(largest(pieces) + kPackedGap);
  }

  // Before the first block of a run.
  void begin(std::span<std::byte* const> arguments, std::byte* scratch) {
    x_ = floats_in(arguments, 0);
    dy_ = floats_in(arguments, 1) + op_.first_output;
    packed_dy_ = reinterpret_cast<float*>(scratch + dy_at_);
    if (!bad_pitch(op_.in)) return;
    auto* packed = reinterpret_cast<float*>(scratch + x_at_);
    pack(threads_, x_, op_.in, op_.rows.count, op_.in, packed);
    x_ = packed;
  }

  // Of the outputs first ... first + outputs - 1 of the operator's: one of the pieces.
  void run(std::int64_t first, std::int64_t outputs, float* dw, float* db) const {
    const float* dy = dy_ + first;
    sum_rows(dy, op_.rows.count, op_.out, outputs, db);
    if (bad_pitch(op_.out)) {
      pack(threads_, dy, op_.out, op_.rows.count, outputs, packed_dy_);
      dy = packed_dy_;
    }
    onednn::multiply({.transpose_a = true,
                      .m = outputs,
                      .n = op_.in,
                      .k = op_.rows.count,
                      .lda = bad_pitch(op_.out) ? packed_pitch(outputs) : op_.out,
                      .ldb = packed_pitch(op_.in),
                      .ldc = op_.in},
                     dy, x_, dw);
  }

  std::string implementation() const { return "sgemm"; }

 private:
  FullyConnectedBackwardWeights op_;
  int threads_;
  std::size_t x_at_ = 0, dy_at_ = 0;
  const float *x_ = nullptr, *dy_ = nullptr;
  float* packed_dy_ = nullptr;
};

// The same of bf16 numbers, by a primitive for each size of a piece.
class Bf16GradientProduct {
 public:
  Bf16GradientProduct(const FullyConnectedBackwardWeights& op, const std::vector<std::int64_t>& pieces, int /*threads*/,
                      ScratchPlan& plan)
      : op_(op), stream_(onednn::cpu_engine()) {
    for (const std::int64_t outputs : pieces) {
      std::unique_ptr<onednn::Bf16Product>& product = products_[outputs];
      if (product) continue;
      product = std::make_unique<onednn::Bf16Product>(onednn::Product{.transpose_a = true,
                                                                      .m = outputs,
                                                                      .n = op.in,
                                                                      .k = op.rows.count,
                                                                      .lda = op.out,
                                                                      .ldb = op.in,
                                                                      .ldc = op.in},
                                                      DType::f32, false, onednn::Bf16Product::Way::matmul, plan);
    }
  }

  void begin(std::span<std::byte* const> arguments, std::byte* scratch) {
    x_ = argument<Bf16>(arguments, 0);
    dy_ = argument<Bf16>(arguments, 1) + op_.first_output;
    scratch_ = scratch;
  }

  void run(std::int64_t first, std::int64_t outputs, float* dw, float* db) {
    sum_rows(dy_ + first, op_.rows.count, op_.out, outputs, db);
    products_.find(outputs)->second->run(stream_, scratch_, dy_ + first, x_, nullptr, dw);
  }

  std::string implementation() const { return products_.begin()->second->implementation(); }

 private:
  FullyConnectedBackwardWeights op_;
  dnnl::stream stream_;
  std::map<std::int64_t, std::unique_ptr<onednn::Bf16Product>> products_;  // by outputs
  const Bf16 *x_ = nullptr, *dy_ = nullptr;
  std::byte* scratch_ = nullptr;
};

// A product for each piece of the outputs.
template <class Product>
class BackwardWeightsKernel final : public Kernel {
 public:
  BackwardWeightsKernel(const FullyConnectedBackwardWeights& op, std::vector<std::int64_t> pieces, int threads)
      : in_(op.in), pieces_(std::move(pieces)), threads_(threads), product_(op, pieces_, threads, plan_) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    product_.begin(arguments, scratch);
    std::int64_t first = 0;
    for (const std::int64_t outputs : pieces_) {
      product_.run(first, outputs, floats_out(arguments, 2) + first * in_, floats_out(arguments, 3) + first);
      first += outputs;
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return product_.implementation(); }

 private:
  std::int64_t in_;
  std::vector<std::int64_t> pieces_;
  int threads_;
  ScratchPlan plan_;
  Product product_;
};

// The gradient of a piece, then its update.
template <class Product>
class UpdateKernel final : public Kernel {
 public:
  UpdateKernel(const FullyConnectedUpdate& op, std::vector<std::int64_t> pieces, int threads)
      : op_(op),
        pieces_(std::move(pieces)),
        threads_(threads),
        states_(op.rule.state_count()),
        product_(op.gradient, pieces_, threads, plan_),
        dw_at_(plan_.reserve(static_cast<std::size_t>(largest(pieces_) * op.gradient.in) * sizeof(float))),
        db_at_(plan_.reserve(static_cast<std::size_t>(largest(pieces_)) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    const OmpThreads scope(threads_);
    product_.begin(arguments, scratch);
    const UpdateCoefficients for_weight(op_.rule, values.rate, values.step);
    const UpdateCoefficients for_bias(op_.bias_rule, values.rate, values.step);
    auto* dw = reinterpret_cast<float*>(scratch + dw_at_);
    auto* db = reinterpret_cast<float*>(scratch + db_at_);
    UpdateTarget weight{.w = floats_out(arguments, 2)}, bias{.w = floats_out(arguments, 3)};
    std::size_t next = 4;
    for (std::size_t s = 0; s < states_; ++s) {
      weight.states[s] = floats_out(arguments, next++);
      bias.states[s] = floats_out(arguments, next++);
    }
    if (op_.copies) weight.copy = argument<Bf16>(arguments, next);
    std::int64_t first = 0;
    for (const std::int64_t outputs : pieces_) {
      product_.run(first, outputs, dw, db);
      if (!update(for_weight, dw, weight.from(first * op_.gradient.in), outputs * op_.gradient.in) ||
          !update(for_bias, db, bias.from(first), outputs)) {
        throw NotFinite("the gradient is not finite");
      }
      first += outputs;
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return product_.implementation() + ", then loops"; }

 private:
  bool update(const UpdateCoefficients& by, const float* g, const UpdateTarget& to, std::int64_t count) const {
    std::atomic<bool> finite{true};
    parallel_for(threads_, count, kParallelGrain, [&](std::int64_t begin, std::int64_t end) {
      if (!update_block(by, g + begin, to.from(begin), end - begin)) finite = false;
    });
    return finite;
  }

  FullyConnectedUpdate op_;
  std::vector<std::int64_t> pieces_;
  int threads_;
  std::size_t states_;
  ScratchPlan plan_;
  Product product_;
  std::size_t dw_at_, db_at_;
};

std::vector<std::int64_t> even_pieces(std::int64_t outputs, std::int64_t most) {
  const std::int64_t count = (outputs + most - 1) / most;
  std::vector<std::int64_t> pieces;
  for (std::int64_t i = 0; i < count; ++i) pieces.push_back(outputs * (i + 1) / count - outputs * i / count);
  return pieces;
}

template <template <class> class KernelOf, class OpType>
std::unique_ptr<Kernel> bind_product(const OpType& op, DType type, std::vector<std::int64_t> pieces, int threads) {
  if (type == DType::bf16) return std::make_unique<KernelOf<Bf16GradientProduct>>(op, std::move(pieces), threads);
  return std::make_unique<KernelOf<GradientProduct>>(op, std::move(pieces), threads);
}

// `preferred`, or the operator's units where those give other bits.
std::vector<std::int64_t> choose_pieces(const FullyConnectedBackwardWeights& op, std::vector<std::int64_t> preferred,
                                        BindContext& context) {
  if (op.output_units.empty() || preferred == op.output_units) return preferred;
  const std::size_t way =
      context.self_tests.choose(
          {.key = fmt::format("fully connected backward weights {} to {} from {} rows {} in {} pieces", op.in, op.out,
                              op.first_output, op.rows.count, preferred.size()),
           .units = op.output_units,
           .operands = {{.elements = op.rows.count * op.in, .type = op.type, .terms = op.rows.count, .inner = op.in},
                        {.elements = op.rows.count * op.out,
                         .piece_elements = 1,
                         .type = op.type,
                         .terms = op.rows.count,
                         .inner = op.out,
                         .opposite = true},
                        {.elements = op.outputs * op.in, .piece_elements = op.in, .written = true},
                        {.elements = op.outputs, .piece_elements = 1, .written = true}},
           .bind_unit =
               [&](std::int64_t size) {
                 FullyConnectedBackwardWeights unit = op;
                 unit.outputs = size;
                 return bind_product<BackwardWeightsKernel>(unit, op.type, {size}, context.threads);
               },
           .ways = {[&] { return bind_product<BackwardWeightsKernel>(op, op.type, preferred, context.threads); }}});
  return way == 0 ? preferred : op.output_units;
}

bool can_bind(DType type) { return type == DType::f32 || onednn::has_bf16(); }

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardWeights& op, BindContext& context) {
  if (!can_bind(op.type)) return nullptr;
  return bind_product<BackwardWeightsKernel>(op, op.type, choose_pieces(op, {op.outputs}, context), context.threads);
}

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedUpdate& op, BindContext& context) {
  if (!can_bind(op.gradient.type)) return nullptr;
  std::vector<std::int64_t> pieces = choose_pieces(op.gradient, even_pieces(op.gradient.outputs, kOutputs), context);
  return bind_product<UpdateKernel>(op, op.gradient.type, std::move(pieces), context.threads);
}

}  // namespace hadal
