#include "plan/cost.h"

#include <algorithm>

#include "ops/arguments.h"

namespace hadal {

double kernel_seconds(const Op& op, const DeviceSpeed& device) {
  double bytes = 0;
  for (const OpArgument& argument : arguments_of(op)) bytes += static_cast<double>(argument.bytes());
  return device.kernel_seconds +
         std::max(static_cast<double>(op_flops(op)) / device.flops_per_second, bytes / device.memory_bytes_per_second);
}

double copy_seconds(std::size_t bytes, const DeviceSpeed& device) {
  return device.kernel_seconds + 2 * static_cast<double>(bytes) / device.memory_bytes_per_second;
}

}  // namespace hadal
