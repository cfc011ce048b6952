#pragma once
// What both operators with a softmax need of a row of logits.

#include <cmath>
#include <cstdint>

namespace hadal::reference {

// softmax(z)[c] = exp(z[c] - maximum) / sum, where sum adds the same over all classes.
struct SoftmaxRow {
  double maximum, sum;

  template <class Real>
  SoftmaxRow(const Real* logits, std::int64_t classes) : maximum(logits[0]), sum(0) {
    for (std::int64_t c = 1; c < classes; ++c) maximum = logits[c] > maximum ? logits[c] : maximum;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - maximum);
  }

  double probability(double logit) const { return std::exp(logit - maximum) / sum; }
  double loss(double logit) const { return std::log(sum) - (logit - maximum); }
};

}  // namespace hadal::reference
