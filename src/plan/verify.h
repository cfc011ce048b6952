#pragma once
// Proves that a plan exchanges what it should.

#include <string>

#include "nn/network.h"
#include "plan/plan.h"

namespace hadal {

// Follows the contents of parameters, gradients and factors through the steps, without running them. Empty where each
// owned range is updated once, from every part of its gradient exactly once (or the rows of its factors that their own
// device computed last), those parts are of every row once, every device ends with all new values, and no step waits
// for one that comes after it; else what is wrong. Statistics of batch_norm are of every row of their pass once; where
// devices have states of their own, each scales its gradient once by its own. A plan that averages: every device ends
// with the mean of all. Plans of other modes: the waits alone.
std::string exchange_error(const Plan& plan, const Network& network);

}  // namespace hadal
