#include "runner/bound_plan.h"

#include "base/error.h"
#include "ops/arguments.h"

namespace hadal {

BoundKernel::BoundKernel(Kernel& kernel, std::vector<Argument> arguments, std::byte* scratch, bool deferred)
    : kernel_(kernel), arguments_(std::move(arguments)), scratch_(scratch), deferred_(deferred) {
  for (const Argument& argument : arguments_) {
    pointers_.push_back(static_cast<std::byte*>(const_cast<void*>(argument.pointer)));
  }
  if (kernel.scratch_bytes() > 0) arguments_.push_back({scratch, kernel.scratch_bytes()});
}

void BoundKernel::run(const StepValues& values) {
  if (!deferred_) return kernel_.run(pointers_, scratch_, values);
  StepValues before = values;
  before.step = values.deferred_step;
  before.rate = values.deferred_rate;
  kernel_.run(pointers_, scratch_, before);
}

namespace {

// The arguments that the plan gives an operator are of the types that it takes.
void check_types(const Plan& plan, const Step& step, const Op& op) {
  std::vector<Range> ranges = step.reads;
  ranges.insert(ranges.end(), step.writes.begin(), step.writes.end());
  const std::vector<OpArgument> arguments = arguments_of(op);
  HADAL_CHECK(ranges.size() == arguments.size());
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    HADAL_CHECK(plan.tensors[ranges[i].tensor].type == arguments[i].type);
  }
}

}  // namespace

BoundPlan::BoundPlan(Plan plan, const std::vector<std::unique_ptr<Device>>& devices, Backend& backend)
    : plan_(std::move(plan)), copied_(plan_.devices.size() * plan_.devices.size()) {
  HADAL_CHECK(plan_.devices.size() == devices.size());
  for (const Step& step : plan_.steps) {
    const auto* compute = std::get_if<Compute>(&step.body);
    if (compute) check_types(plan_, step, compute->op);
    try {
      // What runs beside the compute stream leaves it the device's cores.
      const int threads = step.stream == StreamKind::compute ? devices[step.device]->threads() : 1;
      kernels_.push_back(compute ? backend.bind(compute->op, threads) : nullptr);
    } catch (const DeviceError& error) {
      throw DeviceError(plan_.devices[step.device].name + ": " + step.name + ": " + error.what());
    }
  }
}

std::vector<std::size_t> BoundPlan::scratch_bytes(std::size_t most) const {
  std::vector<std::size_t> bytes(plan_.devices.size() * kStreamKinds);
  for (std::size_t i = 0; i < kernels_.size(); ++i) {
    const std::size_t needed = kernels_[i] ? kernels_[i]->scratch_bytes() : 0;
    std::size_t& of_stream = bytes[plan_.steps[i].stream_index()];
    if (needed <= most) of_stream = std::max(of_stream, needed);
  }
  return bytes;
}

std::vector<std::size_t> BoundPlan::scratch_above(std::size_t most) const {
  std::vector<std::size_t> bytes;
  for (const auto& kernel : kernels_) {
    const std::size_t needed = kernel ? kernel->scratch_bytes() : 0;
    bytes.push_back(needed > most ? needed : 0);
  }
  return bytes;
}

std::size_t BoundPlan::scratch_at(int step) const {
  const bool own = kernels_[step] && !memory_.step_scratch.empty() && memory_.step_scratch[step] > 0;
  return own ? memory_.step_scratch_offset[step] : memory_.scratch_offset[plan_.steps[step].stream_index()];
}

std::byte* BoundPlan::address(const Range& range) const {
  const PlanTensor& tensor = plan_.tensors[range.tensor];
  return arenas_[tensor.device] + memory_.offset[range.tensor] +
         static_cast<std::size_t>(range.first) * size_of(tensor.type);
}

std::size_t BoundPlan::bytes(const Range& range) const {
  return static_cast<std::size_t>(range.count) * size_of(plan_.tensors[range.tensor].type);
}

Copy BoundPlan::copy(int index) {
  const Step& step = plan_.steps[index];
  Copy copy;
  copy.destination = address(step.writes[0]);
  if (const auto* load = std::get_if<Load>(&step.body)) {
    copy.batch_offset = load->batch_offset;
    copy.rows = 1;
    copy.row_bytes = copy.source_pitch = copy.destination_pitch = bytes(step.writes[0]);
  } else {
    const auto& transfer = std::get<Transfer>(step.body);
    copy.source = address(step.reads[0]);
    copy.rows = transfer.rows;
    copy.row_bytes = transfer.row_bytes;
    copy.source_pitch = transfer.source_pitch;
    copy.destination_pitch = transfer.destination_pitch;
    if (transfer.to != step.device) copy.counter = &copied_[pair(step.device, transfer.to)];
  }
  return copy;
}

void BoundPlan::place(const std::vector<std::byte*>& arenas) {
  arenas_ = arenas;
  work_.resize(plan_.steps.size());
  events_.resize(plan_.steps.size());
  programs_.assign(plan_.devices.size() * kStreamKinds, {});
  for (const Step& step : plan_.steps) {
    for (const auto* waits : {&step.waits, &step.room_waits}) {
      for (const int wait : *waits) {
        if (!events_[wait]) events_[wait] = std::make_unique<Event>();
      }
    }
  }
  for (int i = 0; i < static_cast<int>(plan_.steps.size()); ++i) {
    const Step& step = plan_.steps[i];
    auto& items = programs_[step.stream_index()].items;
    for (const auto* waits : {&step.waits, &step.room_waits}) {
      for (const int wait : *waits) items.push_back({Item::Kind::wait, i, nullptr, {}, events_[wait].get()});
    }
    if (kernels_[i]) {
      std::vector<Work::Argument> arguments;
      for (const auto* ranges : {&step.reads, &step.writes}) {
        for (const Range& range : *ranges) arguments.push_back({address(range), bytes(range)});
      }
      work_[i] = std::make_unique<BoundKernel>(*kernels_[i], std::move(arguments), arenas[step.device] + scratch_at(i),
                                               step.deferred);
      items.push_back({Item::Kind::run, i, work_[i].get(), {}, nullptr});
    } else {
      items.push_back({Item::Kind::copy, i, nullptr, copy(i), nullptr});
    }
    if (events_[i]) items.push_back({Item::Kind::record, i, nullptr, {}, events_[i].get()});
  }
}

}  // namespace hadal
