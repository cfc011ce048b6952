#pragma once
// How long operators would take on described devices.

#include "device/machine.h"
#include "nn/op.h"

namespace hadal {

// A roofline: products and convolutions at the device's FLOP/s or as fast as their arguments can be read and written,
// whichever is slower; everything else by its arguments alone.
double kernel_seconds(const Op& op, const DeviceSpeed& device);

// Of a copy within a device's memory.
double copy_seconds(std::size_t bytes, const DeviceSpeed& device);

}  // namespace hadal
