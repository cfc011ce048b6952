#include "plan/simulate.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"
#include "plan/cost.h"

namespace hadal {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// The ways that a plan's copies take, by step; none for what is no copy, or is not over links.
class Ways {
 public:
  Ways(const Plan& plan, const Machine& machine) : by_step_(plan.steps.size()) {
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const Step& step = plan.steps[i];
      if (const auto* transfer = std::get_if<Transfer>(&step.body)) {
        by_step_[i] = between(machine, step.device, transfer->to);
      } else if (std::holds_alternative<Load>(step.body) && machine.host >= 0) {
        by_step_[i] = between(machine, machine.host, step.device);
      }
    }
  }

  const Way* of(std::size_t step) const { return by_step_[step]; }

 private:
  const Way* between(const Machine& machine, int from, int to) {
    const auto [found, is_new] = ways_.try_emplace({from, to});
    if (is_new) found->second = way_between(machine, from, to);
    return &found->second;
  }

  std::map<std::pair<int, int>, Way> ways_;
  std::vector<const Way*> by_step_;
};

std::size_t bytes_copied(const Plan& plan, const Step& step) {
  if (const auto* transfer = std::get_if<Transfer>(&step.body)) return transfer->bytes();
  if (!std::holds_alternative<Load>(step.body)) return 0;
  const Range& range = step.writes[0];
  return static_cast<std::size_t>(range.count) * size_of(plan.tensors[range.tensor].type);
}

// What is left out of a run to see what it costs.
struct Without {
  bool exchange = false, loads = false;
};

// An event-driven run: the clock goes from one end of something to the next.
class Run {
 public:
  Run(const Plan& plan, const Machine& machine, const Ways& ways, Without without)
      : plan_(plan),
        machine_(machine),
        ways_(ways),
        without_(without),
        done_(plan.steps.size(), kNever),
        streams_(plan.devices.size() * kStreamKinds),
        through_(static_cast<std::size_t>(machine.ports())) {
    for (std::size_t i = 0; i < plan.steps.size(); ++i) streams_[plan.steps[i].stream_index()].steps.push_back(i);
    result_.compute_seconds.resize(plan.devices.size());
    result_.port_bytes.resize(through_.size());
    result_.port_seconds.resize(through_.size());
  }

  Simulation run() {
    while (true) {
      start_what_can();
      set_rates();
      const double next = next_end();
      if (next == kNever) break;
      advance(next);
    }
    for (const double done : done_) HADAL_CHECK(done != kNever);  // waits are for earlier steps: none is stuck
    for (std::size_t port = 0; port < through_.size(); ++port) {
      result_.port_seconds[port] = static_cast<double>(result_.port_bytes[port]) /
                                   machine_.speed_of_port(static_cast<int>(port)).bytes_per_second;
    }
    result_.step_seconds = now_;
    result_.done_seconds = std::move(done_);
    return std::move(result_);
  }

 private:
  struct Stream {
    std::vector<std::size_t> steps;
    std::size_t next = 0;    // of `steps`
    bool busy = false;       // with that one
    double timed_until = 0;  // end of a kernel, or of a copy's latency
    double bytes_left = 0;   // of a copy, after its latency
    double rate = 0;         // at which they flow; 0: they do not yet
    const Way* way = nullptr;
    bool flows(double now) const { return busy && way != nullptr && bytes_left > 0 && timed_until <= now; }
  };

  bool is_met(const Step& step) const {
    const auto done = [this](int wait) { return done_[wait] <= now_; };
    return std::all_of(step.waits.begin(), step.waits.end(), done) &&
           std::all_of(step.room_waits.begin(), step.room_waits.end(), done);
  }

  void start_what_can() {
    bool started = true;
    while (started) {  // what takes no time makes way for others at once
      started = false;
      for (Stream& stream : streams_) {
        if (stream.busy || stream.next == stream.steps.size()) continue;
        if (!is_met(plan_.steps[stream.steps[stream.next]])) continue;
        start(stream);
        started = started || !stream.busy;
      }
    }
  }

  void start(Stream& stream) {
    const std::size_t index = stream.steps[stream.next];
    const Step& step = plan_.steps[index];
    stream.busy = true;
    stream.way = nullptr;
    stream.bytes_left = 0;
    stream.timed_until = now_;
    if (const auto* compute = std::get_if<Compute>(&step.body)) {
      const double seconds = kernel_seconds(compute->op, machine_.devices[static_cast<std::size_t>(step.device)].speed);
      stream.timed_until += seconds;
      result_.compute_seconds[static_cast<std::size_t>(step.device)] += seconds;
    } else if (const auto* transfer = std::get_if<Transfer>(&step.body); transfer && transfer->to == step.device) {
      const DeviceSpeed& speed = machine_.devices[static_cast<std::size_t>(step.device)].speed;
      stream.timed_until += copy_seconds(transfer->bytes(), speed);
    } else {
      const bool load = std::holds_alternative<Load>(step.body);
      const Way* way = ways_.of(index);
      if (way != nullptr && !(load ? without_.loads : without_.exchange)) {
        const std::size_t bytes = bytes_copied(plan_, step);
        stream.way = way;
        stream.timed_until += way->latency_seconds;
        stream.bytes_left = way->ports.empty() ? 0 : static_cast<double>(bytes);
        for (const int port : way->ports) result_.port_bytes[static_cast<std::size_t>(port)] += bytes;
      }
    }
    if (stream.timed_until <= now_ && stream.bytes_left == 0) finish(stream);
  }

  void finish(Stream& stream) {
    done_[stream.steps[stream.next]] = now_;
    ++stream.next;
    stream.busy = false;
  }

  void set_rates() {
    std::fill(through_.begin(), through_.end(), 0);
    for (const Stream& stream : streams_) {
      if (!stream.flows(now_)) continue;
      for (const int port : stream.way->ports) ++through_[static_cast<std::size_t>(port)];
    }
    for (Stream& stream : streams_) {
      stream.rate = 0;
      if (!stream.flows(now_)) continue;
      stream.rate = kNever;
      for (const int port : stream.way->ports) {
        stream.rate = std::min(
            stream.rate, machine_.speed_of_port(port).bytes_per_second / through_[static_cast<std::size_t>(port)]);
      }
    }
  }

  double end_of(const Stream& stream) const {
    return stream.rate > 0 ? now_ + stream.bytes_left / stream.rate : stream.timed_until;
  }

  double next_end() const {
    double next = kNever;
    for (const Stream& stream : streams_) {
      if (stream.busy) next = std::min(next, end_of(stream));
    }
    return next;
  }

  void advance(double next) {
    const double seconds = next - now_;
    std::vector<Stream*> ended;
    for (Stream& stream : streams_) {
      if (!stream.busy) continue;
      const bool ends = end_of(stream) <= next;
      if (stream.rate > 0) stream.bytes_left = ends ? 0 : stream.bytes_left - stream.rate * seconds;
      if (ends && stream.bytes_left == 0) ended.push_back(&stream);
    }
    now_ = next;
    for (Stream* stream : ended) finish(*stream);
  }

  const Plan& plan_;
  const Machine& machine_;
  const Ways& ways_;
  const Without without_;
  double now_ = 0;
  std::vector<double> done_;  // by step
  std::vector<Stream> streams_;
  std::vector<int> through_;  // by port: copies that flow
  Simulation result_;
};

}  // namespace

const char* Simulation::bound_by() const {
  if (exchange_seconds > step_seconds / 2 && exchange_seconds >= input_seconds) return "exchange";
  return input_seconds > step_seconds / 2 ? "input" : "compute";
}

Simulation simulate(const Plan& plan, const Machine& machine) {
  HADAL_CHECK(machine.devices.size() == plan.devices.size());
  const Ways ways(plan, machine);
  Simulation result = Run(plan, machine, ways, {}).run();
  result.exchange_seconds = result.step_seconds - Run(plan, machine, ways, {.exchange = true}).run().step_seconds;
  result.input_seconds = result.step_seconds - Run(plan, machine, ways, {.loads = true}).run().step_seconds;
  return result;
}

double step_seconds(const Plan& plan, const Machine& machine) {
  HADAL_CHECK(machine.devices.size() == plan.devices.size());
  const Ways ways(plan, machine);
  return Run(plan, machine, ways, {}).run().step_seconds;
}

std::vector<std::size_t> port_bytes(const Plan& plan, const Machine& machine) {
  const Ways ways(plan, machine);
  std::vector<std::size_t> bytes(static_cast<std::size_t>(machine.ports()));
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (ways.of(i) == nullptr) continue;
    for (const int port : ways.of(i)->ports) {
      bytes[static_cast<std::size_t>(port)] += bytes_copied(plan, plan.steps[i]);
    }
  }
  return bytes;
}

}  // namespace hadal
