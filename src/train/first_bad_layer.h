#pragma once
// Where a value that is not finite first appears.

#include <string>
#include <vector>

#include "runner/local_runner.h"
#include "spec/job.h"

namespace hadal {

bool all_finite(const std::vector<float>& values);

// Runs one batch forward once more, on one CPU device with all activations kept, with the parameters of `runner`, and
// says which parameter, or which layer's output, is the first with a NaN or an infinity: "the first NaN or infinity is
// in the output of conv2". Empty where all is finite.
std::string first_bad_layer(const JobSpec& job, const LocalRunner& runner, std::int64_t rows, const void* batch);

}  // namespace hadal
