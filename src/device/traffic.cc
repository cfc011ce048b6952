#include "device/traffic.h"

#include <algorithm>
#include <limits>
#include <thread>

namespace hadal {

Traffic::Traffic(Machine machine)
    : machine_(std::move(machine)),
      flows_through_(static_cast<std::size_t>(machine_.ports())),
      port_bytes_(static_cast<std::size_t>(machine_.ports())) {
  flows_.reserve(machine_.devices.size() * kStreamKinds);
}

const Way& Traffic::way(int from, int to) {
  const auto [found, is_new] = ways_.try_emplace({from, to});
  if (is_new) found->second = way_between(machine_, from, to);
  return found->second;
}

std::vector<std::uint64_t> Traffic::port_bytes() const {
  const std::lock_guard lock(mutex_);
  return port_bytes_;
}

bool Traffic::carry(int from, int to, std::size_t bytes, Clock::time_point begin, const Abort& abort) {
  std::unique_lock lock(mutex_);
  const Way& ports = way(from, to);
  lock.unlock();
  const auto latency = std::chrono::ceil<Clock::duration>(Seconds(std::min(ports.latency_seconds, 1e6)));
  for (Clock::time_point now = Clock::now(); now < begin + latency; now = Clock::now()) {
    if (abort.raised()) return false;
    std::this_thread::sleep_until(std::min(begin + latency, now + kAbortCheck));
  }
  if (ports.ports.empty() || bytes == 0) return !abort.raised();
  lock.lock();
  // From the end of its latency on where nothing else has moved since, though this thread may have woken later.
  advance(begin + latency);
  Flow flow{&ports, static_cast<double>(bytes)};
  flows_.push_back(&flow);
  set_rates();
  changed_.notify_all();
  while (true) {
    const Clock::time_point now = Clock::now();
    advance(now);
    if (flow.done || abort.raised()) break;
    const double seconds = std::min(flow.left / flow.rate, Seconds(kAbortCheck).count());
    changed_.wait_until(lock, now + std::chrono::ceil<Clock::duration>(Seconds(seconds)));
  }
  if (flow.done) {
    for (const int port : ports.ports) port_bytes_[static_cast<std::size_t>(port)] += bytes;
    return true;
  }
  std::erase(flows_, &flow);
  set_rates();
  changed_.notify_all();
  return false;
}

// Lets all flow until `now`; those that end before give up their ports at that moment.
void Traffic::advance(Clock::time_point now) {
  while (!flows_.empty() && now_ < now) {
    double first_end = std::numeric_limits<double>::infinity();
    for (const Flow* flow : flows_) first_end = std::min(first_end, flow->left / flow->rate);
    const double room = Seconds(now - now_).count(), seconds = std::min(first_end, room);
    for (Flow* flow : flows_) {
      flow->left -= flow->rate * seconds;
      flow->done = flow->left <= flow->rate * 1e-9;  // a nanosecond is as good as now
    }
    now_ = first_end <= room ? std::min(now, now_ + std::chrono::ceil<Clock::duration>(Seconds(seconds))) : now;
    if (std::erase_if(flows_, [](const Flow* flow) { return flow->done; }) > 0) {
      set_rates();
      changed_.notify_all();
    }
  }
  now_ = std::max(now_, now);
}

void Traffic::set_rates() {
  std::fill(flows_through_.begin(), flows_through_.end(), 0);
  for (const Flow* flow : flows_) {
    for (const int port : flow->way->ports) ++flows_through_[static_cast<std::size_t>(port)];
  }
  for (Flow* flow : flows_) {
    flow->rate = std::numeric_limits<double>::infinity();
    for (const int port : flow->way->ports) {
      flow->rate = std::min(
          flow->rate, machine_.speed_of_port(port).bytes_per_second / flows_through_[static_cast<std::size_t>(port)]);
    }
  }
}

}  // namespace hadal
