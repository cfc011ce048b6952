#pragma once
// Sets of cores, all in one memory.

#include <memory>
#include <vector>

#include "device/device.h"

namespace hadal {

// As make_devices(), with names that are all of this kind.
std::vector<std::unique_ptr<Device>> make_cpu_devices(const DeviceOptions& options);

}  // namespace hadal
