#include "plan/simulate.h"

#include <algorithm>

namespace hadal {

namespace {

double bytes_touched(const Plan& plan, const Step& step) {
  double bytes = 0;
  for (const auto* ranges : {&step.reads, &step.writes}) {
    for (const Range& range : *ranges) {
      bytes += static_cast<double>(range.count) * static_cast<double>(size_of(plan.tensors[range.tensor].type));
    }
  }
  return bytes;
}

double seconds_of(const Plan& plan, const Step& step, const DeviceSpeed& device, const LinkSpeed& link) {
  if (const auto* transfer = std::get_if<Transfer>(&step.body)) {
    return link.latency_seconds + static_cast<double>(transfer->bytes()) / link.bytes_per_second;
  }
  const auto* compute = std::get_if<Compute>(&step.body);
  const auto flops = compute ? static_cast<double>(op_flops(compute->op)) : 0.0;
  return device.step_seconds +
         std::max(flops / device.flops_per_second, bytes_touched(plan, step) / device.memory_bytes_per_second);
}

double run(const Plan& plan, const DeviceSpeed& device, const LinkSpeed& link, std::vector<double>& compute_seconds) {
  std::vector<double> free(plan.devices.size() * kStreamKinds), done(plan.steps.size());
  compute_seconds.assign(plan.devices.size(), 0);
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    double& stream = free[step.stream_index()];
    for (const int wait : step.waits) stream = std::max(stream, done[wait]);
    const double seconds = seconds_of(plan, step, device, link);
    stream += seconds;
    done[i] = stream;
    if (step.stream == StreamKind::compute) compute_seconds[step.device] += seconds;
  }
  return done.empty() ? 0 : *std::max_element(done.begin(), done.end());
}

}  // namespace

Simulation simulate(const Plan& plan, const DeviceSpeed& device, const LinkSpeed& link) {
  Simulation result;
  std::vector<double> unused;
  const LinkSpeed instant{1e18, 0};
  result.step_seconds = run(plan, device, link, result.compute_seconds);
  result.exchange_seconds = result.step_seconds - run(plan, device, instant, unused);
  return result;
}

}  // namespace hadal
