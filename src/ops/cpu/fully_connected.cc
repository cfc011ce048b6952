// Fully connected layers by oneDNN's matrix product, on weights as they are stored, [out, in]:
//
//   y = x w^T + b,   dx = dy w,   dw = dy^T x,   db = the sum of dy's rows
//
// The kernels behind the product differ in how they sum the last rows of a block, so a row's bits depend on how many
// rows are computed with it. A unit of rows is therefore defined as padded with zeros to full blocks, and a unit of
// outputs as its own product.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/threads.h"

namespace hadal {

namespace {

// Rows of a full block: a multiple of what the kernels of SSE4.1, AVX2 (6) and AVX-512 take at a time; and the fewest
// that do not fall to kernels for thin matrices.
constexpr std::int64_t kRowStep = 12;
constexpr std::int64_t kFewestRows = 24;
// The most rows of a block that cannot meet a kernel for large matrices (docs/reproducible.md).
constexpr std::int64_t kMostRows = 96;

// Rows of a matrix that lie a multiple of 2 KB apart fall into the same few cache lines, which makes products two to
// three times slower: such operands are copied to a larger pitch first.
constexpr std::int64_t kBadPitch = 512;
constexpr std::int64_t kPackedGap = 16;
// Columns of weights packed at a time.
constexpr std::int64_t kPackedColumns = 512;

bool bad_pitch(std::int64_t pitch) { return pitch % kBadPitch == 0; }
std::int64_t packed_pitch(std::int64_t columns) { return bad_pitch(columns) ? columns + kPackedGap : columns; }

// Copies [rows, columns] to its packed pitch.
void pack(int threads, const float* from, std::int64_t pitch, std::int64_t rows, std::int64_t columns, float* to) {
  parallel_for(threads, rows, kParallelGrain / columns, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::memcpy(to + row * packed_pitch(columns), from + row * pitch,
                  static_cast<std::size_t>(columns) * sizeof(float));
    }
  });
}

std::int64_t padded(std::int64_t rows) { return std::max(kFewestRows, (rows + kRowStep - 1) / kRowStep * kRowStep); }

HADAL_CLONES void add_to_rows(const float* __restrict bias, std::int64_t rows, std::int64_t columns,
                              float* __restrict values) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; ++c) values[row * columns + c] += bias[c];
  }
}

// sums[c] = the sum over the rows in their order.
HADAL_CLONES void sum_rows(const float* __restrict values, std::int64_t rows, std::int64_t pitch, std::int64_t columns,
                           float* __restrict sums) {
  for (std::int64_t c = 0; c < columns; ++c) sums[c] = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < columns; ++c) sums[c] += values[row * pitch + c];
  }
}

// How the rows of a product are cut. At most the last block is padded.
struct Blocks {
  std::int64_t rows = 0, most = 0, last_padded = 0;

  static Blocks whole(std::int64_t rows) { return {rows, rows, rows}; }
  static Blocks whole_padded(std::int64_t rows) { return {rows, rows, padded(rows)}; }
  static Blocks small(std::int64_t rows) {
    const std::int64_t last = rows % kMostRows == 0 ? kMostRows : rows % kMostRows;
    return {rows, kMostRows, padded(last)};
  }
};

// C[rows, n] = A[rows, k] B, where B is stored as [k, n], or transposed as [n, k].
class RowProduct {
 public:
  RowProduct(std::int64_t n, std::int64_t k, bool transpose_b, const Blocks& blocks, ScratchPlan& plan)
      : n_(n), k_(k), transpose_b_(transpose_b), blocks_(blocks) {
    packed_ = !transpose_b && bad_pitch(n) && n > kPackedColumns;
    if (packed_) packed_at_ = plan.reserve(static_cast<std::size_t>(k * packed_pitch(kPackedColumns)) * sizeof(float));
    if (last_rows() != blocks.last_padded) {
      a_at_ = plan.reserve(static_cast<std::size_t>(blocks.last_padded * k) * sizeof(float));
      c_at_ = plan.reserve(static_cast<std::size_t>(blocks.last_padded * n) * sizeof(float));
    }
  }

  void run(int threads, const float* a, const float* b, float* c, std::byte* scratch) const {
    const bool pads = last_rows() != blocks_.last_padded;
    auto* last_a = reinterpret_cast<float*>(scratch + a_at_);
    auto* last_c = reinterpret_cast<float*>(scratch + c_at_);
    const std::int64_t last = blocks_.rows - last_rows();
    if (pads) {
      std::copy_n(a + last * k_, last_rows() * k_, last_a);
      std::fill_n(last_a + last_rows() * k_, (blocks_.last_padded - last_rows()) * k_, 0.0f);
    }
    for_columns(threads, b, scratch,
                [&](std::int64_t column, std::int64_t columns, const float* b_part, std::int64_t ldb) {
                  for (std::int64_t row = 0; row < blocks_.rows; row += blocks_.most) {
                    const bool own = !(pads && row == last);
                    onednn::multiply({.transpose_b = transpose_b_,
                                      .m = own ? std::min(blocks_.most, blocks_.rows - row) : blocks_.last_padded,
                                      .n = columns,
                                      .k = k_,
                                      .lda = k_,
                                      .ldb = ldb,
                                      .ldc = n_},
                                     own ? a + row * k_ : last_a, b_part, (own ? c + row * n_ : last_c) + column);
                  }
                });
    if (pads) std::copy_n(last_c, last_rows() * n_, c + last * n_);
  }

 private:
  std::int64_t last_rows() const { return blocks_.rows - (blocks_.rows - 1) / blocks_.most * blocks_.most; }

  // multiply(first column, columns, B's part, its pitch) on all of B, or on packed blocks of its columns.
  template <class Multiply>
  void for_columns(int threads, const float* b, std::byte* scratch, const Multiply& multiply) const {
    if (!packed_) {
      multiply(std::int64_t{0}, n_, b, transpose_b_ ? k_ : n_);
      return;
    }
    auto* block = reinterpret_cast<float*>(scratch + packed_at_);
    for (std::int64_t column = 0; column < n_; column += kPackedColumns) {
      pack(threads, b + column, n_, k_, kPackedColumns, block);
      multiply(column, kPackedColumns, block, packed_pitch(kPackedColumns));
    }
  }

  std::int64_t n_, k_;
  bool transpose_b_, packed_ = false;
  Blocks blocks_;
  std::size_t packed_at_ = 0, a_at_ = 0, c_at_ = 0;
};

class ForwardKernel final : public Kernel {
 public:
  ForwardKernel(const FullyConnectedForward& op, const Blocks& blocks, int threads)
      : rows_(op.rows.count), out_(op.out), threads_(threads), product_(op.out, op.in, true, blocks, plan_) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    float* y = floats_out(arguments, 3);
    product_.run(threads_, floats_in(arguments, 0), floats_in(arguments, 1), y, scratch);
    parallel_for(threads_, rows_, std::max<std::int64_t>(1, kParallelGrain / out_),
                 [&](std::int64_t begin, std::int64_t end) {
                   add_to_rows(floats_in(arguments, 2), end - begin, out_, y + begin * out_);
                 });
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "sgemm"; }

 private:
  std::int64_t rows_, out_;
  int threads_;
  ScratchPlan plan_;
  RowProduct product_;
};

class BackwardDataKernel final : public Kernel {
 public:
  BackwardDataKernel(const FullyConnectedBackwardData& op, const Blocks& blocks, int threads)
      : threads_(threads), product_(op.in, op.out, false, blocks, plan_) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    product_.run(threads_, floats_in(arguments, 0), floats_in(arguments, 1), floats_out(arguments, 2), scratch);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "sgemm"; }

 private:
  int threads_;
  ScratchPlan plan_;
  RowProduct product_;
};

// A product for each piece of the outputs.
class BackwardWeightsKernel final : public Kernel {
 public:
  BackwardWeightsKernel(const FullyConnectedBackwardWeights& op, std::vector<std::int64_t> pieces, int threads)
      : op_(op), pieces_(std::move(pieces)), threads_(threads) {
    const auto reserve = [&](std::int64_t columns) {
      return plan_.reserve(static_cast<std::size_t>(op.rows.count * packed_pitch(columns)) * sizeof(float));
    };
    if (bad_pitch(op.in)) x_at_ = reserve(op.in);
    if (bad_pitch(op.out)) dy_at_ = reserve(*std::max_element(pieces_.begin(), pieces_.end()) + kPackedGap);
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = floats_in(arguments, 0);
    const float* dy = floats_in(arguments, 1) + op_.first_output;
    float* dw = floats_out(arguments, 2);
    if (bad_pitch(op_.in)) {
      auto* packed = reinterpret_cast<float*>(scratch + x_at_);
      pack(threads_, x, op_.in, op_.rows.count, op_.in, packed);
      x = packed;
    }
    std::int64_t first = 0;
    for (const std::int64_t outputs : pieces_) {
      multiply(dy + first, x, outputs, dw + first * op_.in, reinterpret_cast<float*>(scratch + dy_at_));
      first += outputs;
    }
    sum_rows(dy, op_.rows.count, op_.out, op_.outputs, floats_out(arguments, 3));
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "sgemm"; }

 private:
  void multiply(const float* dy, const float* x, std::int64_t outputs, float* dw, float* packed) const {
    if (outputs == 0) return;
    if (bad_pitch(op_.out)) pack(threads_, dy, op_.out, op_.rows.count, outputs, packed);
    onednn::multiply({.transpose_a = true,
                      .m = outputs,
                      .n = op_.in,
                      .k = op_.rows.count,
                      .lda = bad_pitch(op_.out) ? packed_pitch(outputs) : op_.out,
                      .ldb = packed_pitch(op_.in),
                      .ldc = op_.in},
                     bad_pitch(op_.out) ? packed : dy, x, dw);
  }

  FullyConnectedBackwardWeights op_;
  std::vector<std::int64_t> pieces_;
  int threads_;
  ScratchPlan plan_;
  std::size_t x_at_ = 0, dy_at_ = 0;
};

// Rows by a kernel of either direction.
template <class RowKernel, class Op>
std::unique_ptr<Kernel> bind_rows(const Op& op, const char* name, std::vector<PieceOperand> operands,
                                  BindContext& context) {
  const std::int64_t rows = op.rows.count;
  if (op.rows.units.empty()) return std::make_unique<RowKernel>(op, Blocks::whole(rows), context.threads);
  const auto way = [&op](const Blocks& blocks) {
    return [&op, blocks]() -> std::unique_ptr<Kernel> { return std::make_unique<RowKernel>(op, blocks, 1); };
  };
  return context.self_tests.bind(
      {.key = fmt::format("{} {} to {}", name, op.in, op.out),
       .units = op.rows.units,
       .operands = std::move(operands),
       .bind_unit =
           [&op](std::int64_t size) {
             Op unit = op;
             unit.rows.count = size;
             return std::make_unique<RowKernel>(unit, Blocks::whole_padded(size), 1);
           },
       .ways = {way(Blocks::whole(rows)), way(Blocks::whole_padded(rows)), way(Blocks::small(rows))}});
}

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedForward& op, BindContext& context) {
  return bind_rows<ForwardKernel>(op, "fully connected forward",
                                  {{.floats = op.rows.count * op.in, .piece_floats = op.in},
                                   {.floats = op.out * op.in},
                                   {.floats = op.out},
                                   {.floats = op.rows.count * op.out, .piece_floats = op.out, .written = true}},
                                  context);
}

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardData& op, BindContext& context) {
  return bind_rows<BackwardDataKernel>(op, "fully connected backward data",
                                       {{.floats = op.rows.count * op.out, .piece_floats = op.out},
                                        {.floats = op.out * op.in},
                                        {.floats = op.rows.count * op.in, .piece_floats = op.in, .written = true}},
                                       context);
}

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardWeights& op, BindContext& context) {
  const auto way = [&](std::vector<std::int64_t> pieces) {
    return [&op, pieces = std::move(pieces), threads = context.threads]() -> std::unique_ptr<Kernel> {
      return std::make_unique<BackwardWeightsKernel>(op, pieces, threads);
    };
  };
  if (op.output_units.size() <= 1) return way({op.outputs})();
  return context.self_tests.bind({.key = fmt::format("fully connected backward weights {} to {} from {} rows {}", op.in,
                                                     op.out, op.first_output, op.rows.count),
                                  .units = op.output_units,
                                  .operands = {{.floats = op.rows.count * op.in},
                                               {.floats = op.rows.count * op.out, .piece_floats = 1},
                                               {.floats = op.outputs * op.in, .piece_floats = op.in, .written = true},
                                               {.floats = op.outputs, .piece_floats = 1, .written = true}},
                                  .bind_unit =
                                      [&](std::int64_t size) {
                                        FullyConnectedBackwardWeights unit = op;
                                        unit.outputs = size;
                                        return std::make_unique<BackwardWeightsKernel>(unit, std::vector{size},
                                                                                       context.threads);
                                      },
                                  .ways = {way({op.outputs}), way(op.output_units)}});
}

}  // namespace hadal
