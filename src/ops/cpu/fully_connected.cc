// Fully connected layers by oneDNN's matrix product, on weights as they are stored, [out, in]:
//
//   y = x w^T + b,   dx = dy w
//
// The kernels behind the product differ in how they sum the last rows of a block, so a row's bits depend on how many
// rows are computed with it. A unit of rows is therefore defined as padded with zeros to full blocks.

#include <fmt/format.h>

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/onednn.h"
#include "ops/cpu/output_units.h"
#include "ops/cpu/pitch.h"
#include "ops/cpu/threads.h"
#include "ops/cpu/transpose.h"

namespace hadal {

namespace {

// Rows of a full block: a multiple of what the kernels of SSE4.1, AVX2 (6) and AVX-512 take at a time; and the fewest
// that do not fall to kernels for thin matrices.
constexpr std::int64_t kRowStep = 12;
constexpr std::int64_t kFewestRows = 24;
// The most rows of a block that cannot meet a kernel for large matrices (docs/reproducible.md).
constexpr std::int64_t kMostRows = 96;

// Samples of a forward product at a time, which bounds its copies.
constexpr std::int64_t kMostSamples = 1024;
// Outputs of a forward product at a time: few enough that they are still in the cache when they are turned.
constexpr std::int64_t kOutputs = 512;
// Rows up to which a data gradient in bf16 is faster by oneDNN's inner product than by its matrix product: by a tenth
// for 64 rows, while it is as much slower for 256.
constexpr std::int64_t kFewRows = 128;
// Columns of weights packed at a time.
constexpr std::int64_t kPackedColumns = 512;

std::int64_t padded(std::int64_t rows) { return std::max(kFewestRows, (rows + kRowStep - 1) / kRowStep * kRowStep); }

// How the rows of a product are cut. At most the last block is padded.
struct Blocks {
  std::int64_t rows = 0, most = 0, last_padded = 0;

  static Blocks whole(std::int64_t rows) { return {rows, rows, rows}; }
  static Blocks large(std::int64_t rows) { return {rows, kMostSamples, (rows - 1) % kMostSamples + 1}; }
  static Blocks whole_padded(std::int64_t rows) { return {rows, rows, padded(rows)}; }
  static Blocks small(std::int64_t rows) { return {rows, kMostRows, padded((rows - 1) % kMostRows + 1)}; }

  std::int64_t last_rows() const { return (rows - 1) % most + 1; }
};

// y^T = w x^T by blocks of samples and outputs, then turned, with the bias: oneDNN's product is faster so than as x
// w^T, in which w has to be turned (by a tenth at 256 samples, twice at 32).
class ForwardKernel final : public Kernel {
 public:
  ForwardKernel(const FullyConnectedForward& op, const Blocks& blocks, int threads)
      : in_(op.in),
        out_(op.out),
        threads_(threads),
        blocks_(blocks),
        pitch_(packed_pitch(std::max(std::min(blocks.most, blocks.rows), blocks.last_padded))),
        x_at_(plan_.reserve(static_cast<std::size_t>(in_ * pitch_) * sizeof(float))),
        y_at_(plan_.reserve(static_cast<std::size_t>(std::min(kOutputs, out_) * pitch_) * sizeof(float))) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* x = floats_in(arguments, 0);
    float* y = floats_out(arguments, 3);
    for (std::int64_t row = 0; row < blocks_.rows; row += blocks_.most) {
      const bool last = row + blocks_.most >= blocks_.rows;
      run_samples(x + row * in_, floats_in(arguments, 1), floats_in(arguments, 2), y + row * out_,
                  last ? blocks_.last_rows() : blocks_.most, last ? blocks_.last_padded : blocks_.most, scratch);
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "sgemm, turned"; }

 private:
  void run_samples(const float* x, const float* weight, const float* bias, float* y, std::int64_t samples,
                   std::int64_t padded_samples, std::byte* scratch) const {
    auto* turned_x = reinterpret_cast<float*>(scratch + x_at_);
    auto* turned_y = reinterpret_cast<float*>(scratch + y_at_);
    parallel_for(threads_, in_, kParallelGrain / samples + 1, [&](std::int64_t begin, std::int64_t end) {
      transpose(x + begin, samples, end - begin, in_, nullptr, turned_x + begin * pitch_, pitch_);
      for (std::int64_t i = begin; i < end && padded_samples > samples; ++i) {
        std::fill_n(turned_x + i * pitch_ + samples, padded_samples - samples, 0.0f);
      }
    });
    for (std::int64_t first = 0; first < out_; first += kOutputs) {
      const std::int64_t outputs = std::min(kOutputs, out_ - first);
      onednn::multiply({.m = outputs, .n = padded_samples, .k = in_, .lda = in_, .ldb = pitch_, .ldc = pitch_},
                       weight + first * in_, turned_x, turned_y);
      parallel_for(threads_, samples, kParallelGrain / outputs + 1, [&](std::int64_t begin, std::int64_t end) {
        transpose(turned_y + begin, outputs, end - begin, pitch_, bias + first, y + begin * out_ + first, out_);
      });
    }
  }

  std::int64_t in_, out_;
  int threads_;
  Blocks blocks_;
  ScratchPlan plan_;
  std::int64_t pitch_;
  std::size_t x_at_, y_at_;
};

// dx = dy w.
class BackwardDataKernel final : public Kernel {
 public:
  BackwardDataKernel(const FullyConnectedBackwardData& op, const Blocks& blocks, int threads)
      : in_(op.in),
        out_(op.out),
        threads_(threads),
        blocks_(blocks),
        packed_(bad_pitch(op.in) && op.in > kPackedColumns && onednn::vector_floats() < 16) {
    if (packed_) weight_at_ = reserve(out_ * packed_pitch(kPackedColumns));
    if (pads()) {
      dy_at_ = reserve(blocks.last_padded * out_);
      dx_at_ = reserve(blocks.last_padded * in_);
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const float* dy = floats_in(arguments, 0);
    const float* weight = floats_in(arguments, 1);
    float* dx = floats_out(arguments, 2);
    auto* last_dy = reinterpret_cast<float*>(scratch + dy_at_);
    auto* last_dx = reinterpret_cast<float*>(scratch + dx_at_);
    const std::int64_t last = blocks_.rows - blocks_.last_rows();
    if (pads()) {
      std::copy_n(dy + last * out_, blocks_.last_rows() * out_, last_dy);
      std::fill_n(last_dy + blocks_.last_rows() * out_, (blocks_.last_padded - blocks_.last_rows()) * out_, 0.0f);
    }
    const std::int64_t columns = packed_ ? kPackedColumns : in_;
    for (std::int64_t column = 0; column < in_; column += columns) {
      const float* part = weight + column;
      if (packed_) {
        auto* block = reinterpret_cast<float*>(scratch + weight_at_);
        pack(threads_, part, in_, out_, columns, block);
        part = block;
      }
      for (std::int64_t row = 0; row < blocks_.rows; row += blocks_.most) {
        const bool own = !(pads() && row == last);
        onednn::multiply({.m = own ? std::min(blocks_.most, blocks_.rows - row) : blocks_.last_padded,
                          .n = columns,
                          .k = out_,
                          .lda = out_,
                          .ldb = packed_ ? packed_pitch(columns) : in_,
                          .ldc = in_},
                         own ? dy + row * out_ : last_dy, part, (own ? dx + row * in_ : last_dx) + column);
      }
    }
    if (pads()) std::copy_n(last_dx, blocks_.last_rows() * in_, dx + last * in_);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return "sgemm"; }

 private:
  bool pads() const { return blocks_.last_rows() != blocks_.last_padded; }
  std::size_t reserve(std::int64_t floats) { return plan_.reserve(static_cast<std::size_t>(floats) * sizeof(float)); }

  std::int64_t in_, out_;
  int threads_;
  Blocks blocks_;
  bool packed_;
  ScratchPlan plan_;
  std::size_t weight_at_ = 0, dy_at_ = 0, dx_at_ = 0;
};

// Rows of bf16 numbers, in either direction, by a primitive for a block: no copies but those of oneDNN.
class Bf16RowsKernel final : public Kernel {
 public:
  Bf16RowsKernel(const FullyConnectedForward& op, const Blocks& blocks, int threads)
      : Bf16RowsKernel(op.in, op.out, true, op.destination_type, onednn::Bf16Product::Way::matmul, blocks, threads) {}
  Bf16RowsKernel(const FullyConnectedBackwardData& op, const Blocks& blocks, int threads)
      : Bf16RowsKernel(op.out, op.in, false, op.type, way_of(op.rows), blocks, threads) {}

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues&) override {
    const OmpThreads scope(threads_);
    const Bf16* from = argument<Bf16>(arguments, 0);
    const Bf16* weight = argument<Bf16>(arguments, 1);
    const float* bias = forward_ ? floats_in(arguments, 2) : nullptr;
    std::byte* to = arguments[forward_ ? 3 : 2];
    const std::int64_t last = blocks_.rows - blocks_.last_rows();
    for (std::int64_t row = 0; row < last; row += blocks_.most) {
      block_->run(stream_, scratch, from + row * from_columns_, weight, bias, to + bytes_to(row));
    }
    onednn::Bf16Product& product = last_ ? *last_ : *block_;
    from += last * from_columns_;
    to += bytes_to(last);
    if (blocks_.last_rows() == blocks_.last_padded) {
      product.run(stream_, scratch, from, weight, bias, to);
      return;
    }
    auto* padded_from = reinterpret_cast<Bf16*>(scratch + from_at_);
    std::copy_n(from, blocks_.last_rows() * from_columns_, padded_from);
    std::fill_n(padded_from + blocks_.last_rows() * from_columns_,
                (blocks_.last_padded - blocks_.last_rows()) * from_columns_, Bf16(0.0f));
    product.run(stream_, scratch, padded_from, weight, bias, scratch + to_at_);
    std::copy_n(scratch + to_at_, bytes_to(blocks_.last_rows()), to);
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return (last_ ? last_ : block_)->implementation(); }

 private:
  // Units of rows must not choose another way than all rows together.
  static onednn::Bf16Product::Way way_of(const Rows& rows) {
    using Way = onednn::Bf16Product::Way;
    return rows.units.empty() && rows.count <= kFewRows ? Way::inner_product : Way::matmul;
  }

  Bf16RowsKernel(std::int64_t from_columns, std::int64_t to_columns, bool forward, DType to_type,
                 onednn::Bf16Product::Way way, const Blocks& blocks, int threads)
      : from_columns_(from_columns),
        to_columns_(to_columns),
        forward_(forward),
        to_type_(to_type),
        threads_(threads),
        blocks_(blocks),
        stream_(onednn::cpu_engine()) {
    const auto product = [&](std::int64_t rows) {
      return std::make_unique<onednn::Bf16Product>(onednn::Product{.transpose_b = forward,
                                                                   .m = rows,
                                                                   .n = to_columns,
                                                                   .k = from_columns,
                                                                   .lda = from_columns,
                                                                   .ldb = forward ? from_columns : to_columns,
                                                                   .ldc = to_columns},
                                                   to_type, forward, way, plan_);
    };
    if (blocks.rows > blocks.most) block_ = product(blocks.most);
    if (!block_ || blocks.last_padded != blocks.most) last_ = product(blocks.last_padded);
    if (blocks.last_rows() == blocks.last_padded) return;
    from_at_ = plan_.reserve(static_cast<std::size_t>(blocks.last_padded * from_columns) * sizeof(Bf16));
    to_at_ = plan_.reserve(bytes_to(blocks.last_padded));
  }

  std::size_t bytes_to(std::int64_t rows) const {
    return static_cast<std::size_t>(rows * to_columns_) * size_of(to_type_);
  }

  std::int64_t from_columns_, to_columns_;
  bool forward_;
  DType to_type_;
  int threads_;
  Blocks blocks_;
  dnnl::stream stream_;
  ScratchPlan plan_;
  std::unique_ptr<onednn::Bf16Product> block_, last_;  // of blocks but the last, and of that where it is another
  std::size_t from_at_ = 0, to_at_ = 0;
};

std::vector<LinesOperand> by_units(const FullyConnectedForward& op) {
  const OutputUnits& units = op.output_units;
  return {LinesOperand::shared(units, op.rows.count, op.in), LinesOperand::divided(units, 1, op.in),
          LinesOperand::divided(units, 1, 1), LinesOperand::divided(units, op.rows.count, 1)};
}
std::vector<LinesOperand> by_units(const FullyConnectedBackwardData& op) {
  const OutputUnits& units = op.output_units;
  return {LinesOperand::divided(units, op.rows.count, 1), LinesOperand::divided(units, 1, op.in),
          LinesOperand::shared(units, op.rows.count, op.in)};
}

// A kernel of all outputs, or one of each unit of them.
template <class RowKernel, class Op>
std::unique_ptr<Kernel> bind_all_outputs(const Op& op, const Blocks& blocks) {
  return std::make_unique<RowKernel>(op, blocks, 1);
}
template <class RowKernel, class Op>
std::unique_ptr<Kernel> bind_outputs(const Op& op, const Blocks& blocks) {
  if (op.output_units.size() <= 1) return bind_all_outputs<RowKernel>(op, blocks);
  std::vector<LinesOperand> operands = by_units(op);
  operands.back().written = true;
  return bind_by_output_units(op.output_units, std::move(operands), [&](std::size_t u) {
    Op unit = op;
    unit.out = op.output_units[u];
    return bind_all_outputs<RowKernel>(unit, blocks);
  });
}

// Rows by a kernel of either direction. Where there are units of the outputs, the data gradient is a sum over them, but
// the values of all outputs may well be those of each unit.
template <class RowKernel, class Op>
std::unique_ptr<Kernel> bind_rows_with(const Op& op, const char* name, std::vector<PieceOperand> operands,
                                       BindContext& context) {
  const std::int64_t rows = op.rows.count;
  if (op.rows.units.empty() && op.output_units.empty()) {
    return std::make_unique<RowKernel>(op, Blocks::large(rows), context.threads);
  }
  PieceRequest request{.key = fmt::format("{} {} to {}", name, op.in, op.out) + key_of(op.output_units),
                       .units = op.rows.units.empty() ? std::vector<std::int64_t>{rows} : op.rows.units,
                       .operands = std::move(operands),
                       .bind_unit = [&op](std::int64_t size) {
                         Op unit = op;
                         unit.rows.count = size;
                         return bind_outputs<RowKernel>(unit, Blocks::whole_padded(size));
                       }};
  const Blocks ways[] = {Blocks::whole(rows), Blocks::whole_padded(rows), Blocks::small(rows)};
  if (op.output_units.size() <= 1 || std::is_same_v<Op, FullyConnectedForward>) {
    for (const Blocks& blocks : ways) {
      request.ways.emplace_back([&op, blocks] { return bind_all_outputs<RowKernel>(op, blocks); });
    }
  }
  if (op.output_units.size() > 1) {
    for (const Blocks& blocks : ways) {
      request.ways.emplace_back([&op, blocks] { return bind_outputs<RowKernel>(op, blocks); });
    }
  }
  return context.self_tests.bind(request);
}

template <class Fp32Kernel, class Op>
std::unique_ptr<Kernel> bind_rows(const Op& op, const char* name, std::vector<PieceOperand> operands,
                                  BindContext& context) {
  if (op.type == DType::f32) return bind_rows_with<Fp32Kernel>(op, name, std::move(operands), context);
  if (!onednn::has_bf16()) return nullptr;
  return bind_rows_with<Bf16RowsKernel>(op, name, std::move(operands), context);
}

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedForward& op, BindContext& context) {
  std::vector<PieceOperand> operands = {
      {.elements = op.rows.count * op.in, .piece_elements = op.in, .type = op.type, .terms = op.in},
      {.elements = op.out * op.in, .type = op.type, .terms = op.in, .opposite = true},
      {.elements = op.out, .zero = true},
      {.elements = op.rows.count * op.out, .piece_elements = op.out, .type = op.destination_type, .written = true}};
  return bind_rows<ForwardKernel>(op, "fully connected forward", std::move(operands), context);
}

std::unique_ptr<Kernel> bind_kernel(const FullyConnectedBackwardData& op, BindContext& context) {
  std::vector<PieceOperand> operands = {
      {.elements = op.rows.count * op.out, .piece_elements = op.out, .type = op.type, .terms = op.out},
      {.elements = op.out * op.in, .type = op.type, .terms = op.out, .inner = op.in, .opposite = true},
      {.elements = op.rows.count * op.in, .piece_elements = op.in, .type = op.type, .written = true}};
  return bind_rows<BackwardDataKernel>(op, "fully connected backward data", std::move(operands), context);
}

}  // namespace hadal
