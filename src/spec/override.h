#pragma once
// --set: changes of a job file's tree before it is read.

#include "spec/job.h"
#include "spec/value.h"

namespace hadal {

// Puts each value at its key in turn, making maps that are absent on the way; a number walks into a list. What comes
// from an override stands at "--set KEY=VALUE" in errors. As the number of groups follows from devices and split, an
// override of those takes `parallel.groups` of the file away, unless it is overridden too.
void apply_overrides(Value& root, const std::vector<Override>& overrides);

}  // namespace hadal
