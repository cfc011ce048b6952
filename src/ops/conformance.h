#pragma once
// Runs every operator of a backend on a device and compares what it computes with the reference backend: the self-test
// of `hadal doctor`, and the core of the backends' own tests.

#include <string>
#include <vector>

#include "device/device.h"
#include "ops/backend.h"

namespace hadal {

// What the inputs of a case hold.
enum class Numbers {
  normal,  // mean 0, deviation 1
  ties,    // whole numbers from -2 to 2: many are equal
  huge,    // up to tens of thousands
  nans,    // normal, and a NaN here and there
};

// A new operator is a row of conformance_cases.cc.
struct ConformanceCase {
  std::string name;  // why this case exists: "conv 3x3 depthwise, canonical to channels_last"
  Op op;
  Numbers numbers = Numbers::normal;
};

const std::vector<ConformanceCase>& conformance_cases();

// The largest error that is allowed, relative to an element or to the root mean square of its array, whichever is
// larger. 0: every bit of the result is defined (what only copies, compares, or adds in a stated order). A bf16 result
// may differ from the reference's fp32 one by its rounding more; where the tolerance is 0 it is that one rounded.
double conformance_tolerance(const Op& op);

struct ConformanceResult {
  std::string name, op, implementation;
  double error = 0, tolerance = 0;  // more than conformance_tolerance() of kernels that round what they multiply
  bool ok = false;
  std::string problem;  // one line, empty where ok
};

// Runs `which` with `backend` and with `reference` as work on the compute stream of `device`, whose arena it replaces;
// no other program may be running there. Beside the results it checks that a kernel writes all of its results, none of
// its inputs, and nothing around its arguments and scratch. What a backend throws is a problem of the result.
ConformanceResult check_conformance(const ConformanceCase& which, Backend& backend, Backend& reference, Device& device);

}  // namespace hadal
