#include "train/straggler.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {

namespace {

constexpr double kSlow = 1.5;
constexpr std::int64_t kFewestSteps = 20;

}  // namespace

namespace {

// What a device computes in a step: operations where devices have parts of layers, else rows.
std::vector<double> work_of(const Plan& plan) {
  std::vector<double> work(plan.devices.size());
  for (std::size_t d = 0; d < work.size() && plan.split == 1; ++d)
    work[d] = static_cast<double>(plan.device_rows[d].count);
  for (const Step& step : plan.steps) {
    const auto* compute = std::get_if<Compute>(&step.body);
    if (compute && plan.split > 1)
      work[static_cast<std::size_t>(step.device)] += static_cast<double>(op_flops(compute->op));
  }
  return work;
}

}  // namespace

std::optional<Straggler> find_straggler(const Plan& plan, const std::vector<DeviceUse>& uses, std::int64_t steps) {
  const std::vector<double> work = work_of(plan);
  std::vector<std::pair<double, int>> of_work;  // seconds of all steps for it, and the device
  for (int d = 0; d < static_cast<int>(uses.size()); ++d) {
    if (work[d] > 0) of_work.emplace_back(uses[d].compute_seconds / work[d], d);
  }
  if (of_work.size() < 2 || steps < kFewestSteps) return std::nullopt;
  std::sort(of_work.begin(), of_work.end());
  const auto [slowest, device] = of_work.back();
  const double median = of_work[(of_work.size() - 1) / 2].first;
  if (median <= 0 || slowest < kSlow * median) return std::nullopt;
  return Straggler{device, slowest / median, (slowest - median) * work[device] / static_cast<double>(steps)};
}

std::string describe(const Straggler& straggler, const Plan& plan) {
  return fmt::format(
      "{} is slow: its kernels take {:.1f} times as long as the other devices'; at their speed a step would take "
      "{:.1f} "
      "ms less",
      plan.devices[straggler.device].name, straggler.slowdown, straggler.step_seconds * 1e3);
}

}  // namespace hadal
