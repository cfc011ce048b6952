#pragma once
// CPU devices behind an asynchronous driver, each with memory of its own (device.h).
//
// submit() refuses a program whose kernels are given other memory than the device's own, or whose copies do not go from
// there, or from the staged batch, to a fake device made in the same call. A copy is a single memcpy at the end of the
// time that it takes on the links of the machine (device/traffic.h): who does not wait for a copy sees what was there
// before.

#include <memory>
#include <vector>

#include "device/device.h"

namespace hadal {

// As make_devices(), with names that are all of this kind.
std::vector<std::unique_ptr<Device>> make_fake_devices(const DeviceOptions& options);

}  // namespace hadal
