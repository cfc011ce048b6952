#include "plan/fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "plan/cost.h"
#include "plan/recompute.h"

namespace hadal {

namespace {

double step_seconds_of(const Plan& plan, const Step& step, const Machine& machine) {
  const DeviceSpeed& speed = machine.devices[static_cast<std::size_t>(step.device)].speed;
  if (const auto* compute = std::get_if<Compute>(&step.body)) return kernel_seconds(compute->op, speed);
  const auto over = [&](int from, int to, std::size_t bytes) {
    const Way way = way_between(machine, from, to);
    double seconds = way.latency_seconds;
    for (const int port : way.ports) {
      seconds = std::max(
          seconds, way.latency_seconds + static_cast<double>(bytes) / machine.speed_of_port(port).bytes_per_second);
    }
    return seconds;
  };
  if (const auto* transfer = std::get_if<Transfer>(&step.body)) {
    return transfer->to == step.device ? copy_seconds(transfer->bytes(), speed)
                                       : over(step.device, transfer->to, transfer->bytes());
  }
  const Range& range = step.writes[0];
  const std::size_t bytes =
      static_cast<std::size_t>(range.count) * size_of(plan.tensors[static_cast<std::size_t>(range.tensor)].type);
  return machine.host < 0 ? copy_seconds(bytes, speed) : over(machine.host, step.device, bytes);
}

// Chooses by what a plan's steps need one by one.
class Search {
 public:
  // Bytes above a limit count to this power.
  Search(const Plan& base, const Machine& machine, const FitOptions& options, double power)
      : base_(base), machine_(machine), options_(options), power_(power), target_(options.limit) {}

  std::set<std::string> chosen;

  // The limits become this much less, where what fits one by one does not fit in its places.
  void tighten(std::size_t device, std::size_t bytes) { target_[device] -= std::min(target_[device], bytes); }

  bool fits() const { return state_of(chosen).excess == 0; }

  // Adds to `chosen`. Whether it fits.
  bool search() {
    const std::vector<KeptValue> kept = candidates();
    State state = state_of(chosen);
    while (state.excess > 0) {
      const KeptValue* best = nullptr;
      State next;
      double most = 0;
      for (const KeptValue& value : kept) {
        if (chosen.contains(value.name)) continue;
        std::set<std::string> more = chosen;
        more.insert(value.name);
        const State tried = state_of(more);
        const double gain = (state.excess - tried.excess) / std::max(tried.seconds - state.seconds, 1e-9);
        if (tried.excess < state.excess && gain > most) best = &value, next = tried, most = gain;
      }
      if (best == nullptr) return false;
      chosen.insert(best->name);
      state = next;
    }
    return true;
  }

  // Without those that are not needed.
  void give_up_needless(const std::set<std::string>& keep) {
    for (const KeptValue& value : kept_values(base_)) {
      if (!chosen.contains(value.name) || keep.contains(value.name)) continue;
      std::set<std::string> less = chosen;
      less.erase(value.name);
      if (state_of(less).excess == 0) chosen = std::move(less);
    }
  }

 private:
  struct State {
    double excess = 0;  // bytes above the targets, to the power, summed over the steps and devices
    double seconds = 0;
  };

  State state_of(const std::set<std::string>& names) const {
    Plan plan = base_;
    compute_again(plan, names);
    const auto live = live_bytes(plan, options_.memory(plan));
    State state;
    for (std::size_t d = 0; d < live.size(); ++d) {
      for (const std::size_t bytes : live[d]) {
        if (target_[d] > 0 && bytes > target_[d])
          state.excess += std::pow(static_cast<double>(bytes - target_[d]), power_);
      }
    }
    state.seconds = seconds_again(plan, machine_);
    return state;
  }

  // Of many values those that take the most.
  std::vector<KeptValue> candidates() const {
    constexpr std::size_t kMost = 64;
    std::vector<KeptValue> kept = kept_values(base_);
    std::stable_sort(kept.begin(), kept.end(),
                     [](const KeptValue& a, const KeptValue& b) { return a.bytes > b.bytes; });
    if (kept.size() > kMost) kept.resize(kMost);
    return kept;
  }

  const Plan& base_;
  const Machine& machine_;
  const FitOptions& options_;
  const double power_;
  std::vector<std::size_t> target_;
};

bool is_within(const std::vector<std::size_t>& peak, const std::vector<std::size_t>& limit, double share = 1) {
  for (std::size_t d = 0; d < peak.size(); ++d) {
    if (limit[d] > 0 && static_cast<double>(peak[d]) > share * static_cast<double>(limit[d])) return false;
  }
  return true;
}

}  // namespace

double seconds_again(const Plan& plan, const Machine& machine) {
  std::vector<double> seconds(plan.devices.size());
  for (const Step& step : plan.steps) {
    if (step.again) seconds[static_cast<std::size_t>(step.device)] += step_seconds_of(plan, step, machine);
  }
  return *std::max_element(seconds.begin(), seconds.end());
}

Fitting fit(const Network& network, PlanOptions& options, const Machine& machine, const FitOptions& fit_options) {
  constexpr int kTries = 12;
  constexpr double kHighPower = 8;
  options.recompute.clear();
  const Plan base = build_unchecked(network, options);
  const std::vector<KeptValue> kept = kept_values(base);
  std::set<std::string> always;
  for (const KeptValue& value : kept) {
    if (fit_options.recompute && fit_options.all_cheap && value.cheap) always.insert(value.name);
  }
  // Towards these limits, and from there to lower ones where what fits step by step does not in its places.
  const auto with_power = [&](const std::vector<std::size_t>& limit, double power) {
    FitOptions nearer = fit_options;
    nearer.limit = limit;
    Search search(base, machine, nearer, power);
    search.chosen = always;
    Fitting fitting;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const bool promises = search.fits();
      options.recompute = search.chosen;
      const Plan plan = build_unchecked(network, options);
      const MemoryPlan memory = plan_memory(plan, fit_options.memory(plan));
      fitting.fits = true;
      fitting.peak.clear();
      for (std::size_t d = 0; d < memory.use.size(); ++d) {
        fitting.peak.push_back(memory.use[d].peak);
        if (limit[d] == 0 || memory.use[d].peak <= limit[d]) continue;
        fitting.fits = false;
        if (promises) search.tighten(d, memory.use[d].peak - limit[d]);
      }
      if (fitting.fits || !fit_options.recompute || !search.search()) break;
      search.give_up_needless(always);
    }
    return fitting;
  };
  const auto towards = [&](const std::vector<std::size_t>& limit) {
    const Fitting first = with_power(limit, 1);
    return first.fits || !fit_options.recompute ? first : with_power(limit, kHighPower);
  };
  Fitting fitting = towards(fit_options.limit);
  // Close to a limit no single value may lower what is above it, where together some lead far below.
  constexpr double kStep = 0.97, kClose = 1.05;
  constexpr int kLower = 4;
  std::vector<std::size_t> nearer = fit_options.limit;
  const bool close = fit_options.recompute && is_within(fitting.peak, fit_options.limit, kClose);
  for (int i = 0; i < kLower && !fitting.fits && close; ++i) {
    for (std::size_t& bytes : nearer) bytes = static_cast<std::size_t>(static_cast<double>(bytes) * kStep);
    const Fitting tried = towards(nearer);
    if (is_within(tried.peak, fit_options.limit)) fitting.peak = tried.peak, fitting.fits = true;
  }
  if (!fitting.fits && fit_options.recompute && fit_options.find_least) {
    // Step by step to the least that can be reached: what the limit would have to be.
    options.recompute = always;
    const Plan plan = build_unchecked(network, options);
    std::vector<std::size_t> limit;
    for (const MemoryUse& use : plan_memory(plan, fit_options.memory(plan)).use) limit.push_back(use.peak);
    fitting.peak = limit;
    std::set<std::string> least = always;
    for (bool lower = true; lower;) {
      for (std::size_t& bytes : limit) bytes = static_cast<std::size_t>(static_cast<double>(bytes) * kStep);
      const Fitting tried = towards(limit);
      lower = tried.fits;
      if (lower) fitting.peak = limit = tried.peak, least = options.recompute;
    }
    options.recompute = least;
  }
  for (const KeptValue& value : kept) {
    if (options.recompute.contains(value.name)) fitting.recomputed.push_back(value.name);
  }
  return fitting;
}

}  // namespace hadal
