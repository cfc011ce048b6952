#pragma once
// The table of job.yaml.

#include "spec/job.h"
#include "spec/keys.h"

namespace hadal {

const Keys<JobSpec>& job_table();

}  // namespace hadal
