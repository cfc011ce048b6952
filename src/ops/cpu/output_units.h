#pragma once
// Kernels whose result is defined by pieces of a layer's outputs (nn/op.h, OutputUnits), piece by piece.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/op.h"
#include "ops/backend.h"

namespace hadal {

// An fp32 argument as lines of numbers of which each piece has some: rows, or in channels_last pixels, of channels; a
// parameter is one line.
struct LinesOperand {
  // Numbers first ... first + count - 1 of each line.
  struct Piece {
    std::int64_t first = 0, count = 0;

    bool operator==(const Piece&) const = default;
  };

  std::int64_t lines = 1, width = 0;
  bool written = false;
  std::vector<Piece> of_unit;  // where consecutive units write the same numbers, these are the sums of what they give

  // All numbers of each line for every unit; or `per_output` for each output of a unit.
  static LinesOperand shared(const OutputUnits& units, std::int64_t lines, std::int64_t width);
  static LinesOperand divided(const OutputUnits& units, std::int64_t lines, std::int64_t per_output);
};

// What a self-test's key says of them.
std::string key_of(const OutputUnits& units);

// Runs the kernel of each unit, `bind_unit(u)`, on its pieces, copied together where they do not lie so. Units of one
// size and the same counts share a kernel. One operand at most is a sum.
std::unique_ptr<Kernel> bind_by_output_units(const OutputUnits& units, std::vector<LinesOperand> operands,
                                             const std::function<std::unique_ptr<Kernel>(std::size_t)>& bind_unit);

}  // namespace hadal
