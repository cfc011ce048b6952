#include "ops/cpu/output_units.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "ops/cpu/scratch.h"
#include "ops/cpu/simd.h"

namespace hadal {

namespace {

using Piece = LinesOperand::Piece;

HADAL_CLONES void add(float* sum, const float* numbers, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += numbers[i];
}

// Copies `lines` pieces of `count` numbers between arrays whose lines are of other widths.
void copy_lines(const float* from, std::int64_t from_width, float* to, std::int64_t to_width, std::int64_t lines,
                std::int64_t count) {
  for (std::int64_t line = 0; line < lines; ++line) {
    std::memcpy(to + line * to_width, from + line * from_width, static_cast<std::size_t>(count) * sizeof(float));
  }
}

class ByOutputUnits final : public Kernel {
 public:
  ByOutputUnits(const OutputUnits& units, std::vector<LinesOperand> operands,
                const std::function<std::unique_ptr<Kernel>(std::size_t)>& bind_unit)
      : operands_(std::move(operands)), arguments_(operands_.size()) {
    std::size_t inner = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      std::vector<std::int64_t> key{units[u]};
      for (const LinesOperand& operand : operands_) key.push_back(operand.of_unit[u].count);
      std::unique_ptr<Kernel>& kernel = kernels_[key];
      if (!kernel) kernel = bind_unit(u);
      units_.push_back(kernel.get());
      inner = std::max(inner, kernel->scratch_bytes());
    }
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const LinesOperand& operand = operands_[i];
      std::int64_t most = 0;
      for (const Piece& piece : operand.of_unit) {
        if (!lies_together(operand, piece)) most = std::max(most, operand.lines * piece.count);
      }
      pieces_at_.push_back(plan_.reserve(static_cast<std::size_t>(most) * sizeof(float)));
      if (operand.written && most_units_of_a_sum(operand) > 1) summed_ = i;
    }
    if (summed_ < operands_.size()) {
      const LinesOperand& sum = operands_[summed_];
      const std::int64_t numbers = sum.lines * sum.of_unit[0].count;
      for (std::size_t n = most_units_of_a_sum(sum); n > 1; n = (n + 1) / 2) {
        levels_at_.push_back(plan_.reserve(static_cast<std::size_t>(numbers) * sizeof(float)));
      }
    }
    inner_at_ = plan_.reserve(inner);
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    for (std::size_t u = 0; u < units_.size();) {
      const std::size_t end = summed_ < operands_.size() ? end_of_sum(operands_[summed_], u) : u + 1;
      if (summed_ < operands_.size()) {
        const LinesOperand& sum = operands_[summed_];
        const Piece& piece = sum.of_unit[u];
        auto* to = reinterpret_cast<float*>(arguments[summed_]) + piece.first;
        const bool together = lies_together(sum, piece);
        auto* room = together ? to : reinterpret_cast<float*>(scratch + pieces_at_[summed_]);
        add_up(u, end, 0, room, {arguments, scratch, values});
        if (!together) copy_lines(room, piece.count, to, sum.width, sum.lines, piece.count);
      } else {
        run_unit(u, nullptr, {arguments, scratch, values});
      }
      u = end;
    }
  }

  std::size_t scratch_bytes() const override { return plan_.bytes(); }
  std::string implementation() const override { return units_[0]->implementation() + ", by outputs"; }

 private:
  struct Call {
    std::span<std::byte* const> arguments;
    std::byte* scratch;
    const StepValues& values;
  };

  static bool lies_together(const LinesOperand& operand, const Piece& piece) {
    return operand.lines == 1 || piece.count == operand.width;
  }

  static std::size_t end_of_sum(const LinesOperand& operand, std::size_t begin) {
    std::size_t end = begin + 1;
    while (end < operand.of_unit.size() && operand.of_unit[end] == operand.of_unit[begin]) ++end;
    return end;
  }

  static std::size_t most_units_of_a_sum(const LinesOperand& operand) {
    std::size_t most = 0;
    for (std::size_t u = 0, end = 0; u < operand.of_unit.size(); u = end) {
      end = end_of_sum(operand, u);
      most = std::max(most, end - u);
    }
    return most;
  }

  // What units begin ... end - 1 give, added by halves.
  void add_up(std::size_t begin, std::size_t end, std::size_t level, float* sum, const Call& call) {
    if (end - begin == 1) {
      run_unit(begin, sum, call);
      return;
    }
    const std::size_t middle = begin + (end - begin + 1) / 2;
    auto* other = reinterpret_cast<float*>(call.scratch + levels_at_[level]);
    add_up(begin, middle, level + 1, sum, call);
    add_up(middle, end, level + 1, other, call);
    add(sum, other, operands_[summed_].lines * operands_[summed_].of_unit[begin].count);
  }

  // `sum`: where the operand that is a sum goes.
  void run_unit(std::size_t u, float* sum, const Call& call) {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const LinesOperand& operand = operands_[i];
      const Piece& piece = operand.of_unit[u];
      auto* whole = reinterpret_cast<float*>(call.arguments[i]) + piece.first;
      const bool together = lies_together(operand, piece);
      auto* part = together ? whole : reinterpret_cast<float*>(call.scratch + pieces_at_[i]);
      if (i == summed_) part = sum;
      if (!together && !operand.written)
        copy_lines(whole, operand.width, part, piece.count, operand.lines, piece.count);
      arguments_[i] = reinterpret_cast<std::byte*>(part);
    }
    units_[u]->run(arguments_, call.scratch + inner_at_, call.values);
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const LinesOperand& operand = operands_[i];
      const Piece& piece = operand.of_unit[u];
      if (!operand.written || i == summed_ || lies_together(operand, piece)) continue;
      copy_lines(reinterpret_cast<const float*>(arguments_[i]), piece.count,
                 reinterpret_cast<float*>(call.arguments[i]) + piece.first, operand.width, operand.lines, piece.count);
    }
  }

  std::vector<LinesOperand> operands_;
  std::vector<std::byte*> arguments_;  // of a unit
  std::map<std::vector<std::int64_t>, std::unique_ptr<Kernel>> kernels_;
  std::vector<Kernel*> units_;
  std::size_t summed_ = SIZE_MAX;  // index of the operand that is a sum
  ScratchPlan plan_;
  std::vector<std::size_t> pieces_at_, levels_at_;
  std::size_t inner_at_ = 0;
};

}  // namespace

std::string key_of(const OutputUnits& units) {
  std::string key = units.empty() ? "" : " in";
  for (const std::int64_t outputs : units) key += ' ' + std::to_string(outputs);
  return key;
}

LinesOperand LinesOperand::shared(const OutputUnits& units, std::int64_t lines, std::int64_t width) {
  return {.lines = lines, .width = width, .of_unit = std::vector<Piece>(units.size(), {0, width})};
}

LinesOperand LinesOperand::divided(const OutputUnits& units, std::int64_t lines, std::int64_t per_output) {
  LinesOperand operand{.lines = lines};
  for (const std::int64_t outputs : units) {
    operand.of_unit.push_back({operand.width, outputs * per_output});
    operand.width += outputs * per_output;
  }
  return operand;
}

std::unique_ptr<Kernel> bind_by_output_units(const OutputUnits& units, std::vector<LinesOperand> operands,
                                             const std::function<std::unique_ptr<Kernel>(std::size_t)>& bind_unit) {
  HADAL_CHECK(!units.empty());
  for (const LinesOperand& operand : operands) HADAL_CHECK(operand.of_unit.size() == units.size());
  return std::make_unique<ByOutputUnits>(units, std::move(operands), bind_unit);
}

}  // namespace hadal
