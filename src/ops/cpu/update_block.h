#pragma once
// The update rules (optim/rule.h) on a block of elements, for kernels that have a gradient at hand.

#include <array>
#include <cstdint>

#include "optim/rule.h"
#include "tensor/bf16.h"

namespace hadal {

// A rule's numbers for one update.
struct UpdateCoefficients {
  RuleKind kind;
  float rate, root;  // with the corrections of bias
  float momentum, decay, shrink, beta1, rest1, beta2, rest2, epsilon;

  // Of the update after `updates` others.
  UpdateCoefficients(const UpdateRule& rule, double learning_rate, std::uint64_t updates);
};

// What an update writes: weights, a state for each of the rule's, and the new weights as bf16; nullptr for what is not
// there.
struct UpdateTarget {
  float* w = nullptr;
  std::array<float*, 2> states{};
  Bf16* copy = nullptr;

  UpdateTarget from(std::int64_t first) const;
};

// Updates `to` by gradient g. Returns false, and stores nothing, where an element of g is not finite.
[[nodiscard]] bool update_block(const UpdateCoefficients& by, const float* g, const UpdateTarget& to,
                                std::int64_t count);

}  // namespace hadal
