#include "train/straggler.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {

namespace {

constexpr double kSlow = 1.5;
constexpr std::int64_t kFewestSteps = 20;

}  // namespace

std::optional<Straggler> find_straggler(const Plan& plan, const std::vector<DeviceUse>& uses, std::int64_t steps) {
  std::vector<std::pair<double, int>> of_a_row;  // seconds of all steps, and the device
  for (int d = 0; d < static_cast<int>(uses.size()); ++d) {
    const auto rows = static_cast<double>(plan.device_rows[d].count);
    if (rows > 0) of_a_row.emplace_back(uses[d].compute_seconds / rows, d);
  }
  if (of_a_row.size() < 2 || steps < kFewestSteps) return std::nullopt;
  std::sort(of_a_row.begin(), of_a_row.end());
  const auto [slowest, device] = of_a_row.back();
  const double median = of_a_row[(of_a_row.size() - 1) / 2].first;
  if (median <= 0 || slowest < kSlow * median) return std::nullopt;
  const auto rows = static_cast<double>(plan.device_rows[device].count);
  return Straggler{device, slowest / median, (slowest - median) * rows / static_cast<double>(steps)};
}

std::string describe(const Straggler& straggler, const Plan& plan) {
  return fmt::format(
      "{} is slow: its kernels take {:.1f} times as long as the other devices'; at their speed a step would take "
      "{:.1f} "
      "ms less",
      plan.devices[straggler.device].name, straggler.slowdown, straggler.step_seconds * 1e3);
}

}  // namespace hadal
