#pragma once
// The keys of the section `data`.

#include "spec/job.h"
#include "spec/keys.h"

namespace hadal {

Keys<DataSpec> data_keys();

}  // namespace hadal
