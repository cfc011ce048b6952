#pragma once
// Kernels whose result is defined unit by unit (nn/op.h, Rows::units), and the self-test that finds a faster way to the
// same bits (docs/reproducible.md).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace hadal {

// One argument of an operator that is defined by pieces (rows or outputs), fp32 or bf16. `piece_elements`: how far the
// argument moves for each row or output; 0 for one that all pieces share.
struct PieceOperand {
  std::int64_t elements = 0, piece_elements = 0;
  DType type = DType::f32;
  bool written = false;

  // Where results sum over products of two operands: the operand as [..., terms, inner], with the dimension that is
  // summed over in the middle. Some tests of bf16 results give half of the terms the numbers of the other half, in one
  // of the two operands with the opposite sign: then a sum is nothing but its rounding errors, and tells its order even
  // where it is rounded.
  std::int64_t terms = 0, inner = 1;  // 0 terms: not part of a sum
  bool opposite = false;
  bool zero = false;  // all zeros in such a test: what is added to the sum
};

struct PieceRequest {
  std::string key;                  // names the operator and its parameters
  std::vector<std::int64_t> units;  // sizes; zeros are skipped
  std::vector<PieceOperand> operands;

  // The definition: binds a kernel for one unit of `size`.
  std::function<std::unique_ptr<Kernel>(std::int64_t size)> bind_unit;
  // Ways to compute all units at once, the fastest first.
  std::vector<std::function<std::unique_ptr<Kernel>()>> ways;
};

// The outcomes of a backend's self-tests. Equal requests (key, units, operands) have one outcome.
class SelfTests {
 public:
  // The first of `ways` whose bits are those of the units run one by one on pseudo-random data; where there is none, a
  // kernel that runs the units one by one. Each trial runs each kernel once.
  std::unique_ptr<Kernel> bind(const PieceRequest& request);

  // The index of that way; their number where there is none.
  std::size_t choose(const PieceRequest& request);

 private:
  std::map<std::string, std::size_t> chosen_;  // index into ways; their number: one by one
};

}  // namespace hadal
