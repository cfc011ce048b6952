#pragma once
// The timeline of a run's steps in Chrome's trace format (chrome://tracing, ui.perfetto.dev).

#include <string>

#include "runner/local_runner.h"

namespace hadal {

// A process for each device, a thread for each of its streams, an event for each kernel, copy and wait. Throws
// StorageError.
void write_trace(const std::string& path, const LocalRunner& runner);

}  // namespace hadal
