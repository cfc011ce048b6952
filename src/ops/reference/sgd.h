#pragma once
// Stochastic gradient descent with momentum and weight decay, as PyTorch's SGD:
//
//   g = gradient + decay * w;   v = momentum * v + g;   w = w - rate * v
//
// Rounded after each operation: this order is the result, not an approximation of one.

#include <cmath>

#include "base/error.h"

namespace hadal::reference {

template <class Real>
struct SgdCoefficients {
  Real rate, momentum, decay;
};

// One element; `velocity` is nullptr without momentum. Throws NotFinite before anything is stored.
template <class Real>
void sgd_step(const SgdCoefficients<Real>& by, Real gradient, Real& weight, Real* velocity) {
  if (!std::isfinite(gradient)) throw NotFinite("the gradient is not finite");
  Real g = gradient + by.decay * weight;
  if (velocity != nullptr) {
    g = by.momentum * *velocity + g;
    *velocity = g;
  }
  weight = weight - by.rate * g;
}

}  // namespace hadal::reference
