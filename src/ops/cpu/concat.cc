// Concatenation of samples, and its gradient: copies of rows.

#include <cstring>
#include <numeric>

#include "ops/cpu/kernels.h"

namespace hadal {

namespace {

// Between the rows of several arrays and the joined rows of one, in either direction.
class RowCopies {
 public:
  RowCopies(const std::vector<std::int64_t>& row_elements, DType type, std::int64_t rows)
      : rows_(static_cast<std::size_t>(rows)) {
    for (const std::int64_t elements : row_elements) {
      row_bytes_.push_back(static_cast<std::size_t>(elements) * size_of(type));
    }
    joined_bytes_ = std::accumulate(row_bytes_.begin(), row_bytes_.end(), std::size_t{0});
  }

  std::size_t arrays() const { return row_bytes_.size(); }

  // copy(place in array `i`, place in the joined array, bytes)
  template <class Copy>
  void for_each(const Copy& copy) const {
    std::size_t offset = 0;
    for (std::size_t i = 0; i < arrays(); ++i) {
      for (std::size_t row = 0; row < rows_; ++row) {
        copy(i, row * row_bytes_[i], row * joined_bytes_ + offset, row_bytes_[i]);
      }
      offset += row_bytes_[i];
    }
  }

 private:
  std::size_t rows_, joined_bytes_ = 0;
  std::vector<std::size_t> row_bytes_;
};

class ConcatForwardKernel final : public LoopKernel {
 public:
  explicit ConcatForwardKernel(const ConcatForward& op) : rows_(op.row_elements, op.type, op.rows.count) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    std::byte* joined = arguments[rows_.arrays()];
    rows_.for_each([&](std::size_t i, std::size_t from, std::size_t to, std::size_t bytes) {
      std::memcpy(joined + to, arguments[i] + from, bytes);
    });
  }

 private:
  RowCopies rows_;
};

class ConcatBackwardKernel final : public LoopKernel {
 public:
  explicit ConcatBackwardKernel(const ConcatBackward& op) : rows_(op.row_elements, op.type, op.rows.count) {}

  void run(std::span<std::byte* const> arguments, std::byte*, const StepValues&) override {
    const std::byte* joined = arguments[0];
    rows_.for_each([&](std::size_t i, std::size_t to, std::size_t from, std::size_t bytes) {
      std::memcpy(arguments[i + 1] + to, joined + from, bytes);
    });
  }

 private:
  RowCopies rows_;
};

}  // namespace

std::unique_ptr<Kernel> bind_kernel(const ConcatForward& op, BindContext&) {
  return std::make_unique<ConcatForwardKernel>(op);
}

std::unique_ptr<Kernel> bind_kernel(const ConcatBackward& op, BindContext&) {
  return std::make_unique<ConcatBackwardKernel>(op);
}

}  // namespace hadal
