#include "runner/local_runner.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>

#include "base/error.h"
#include "tensor/bf16.h"

namespace hadal {

namespace {

constexpr std::size_t kCacheLine = 64, kPage = 4096;
constexpr std::size_t kMaxTraceEvents = 2'000'000;

// A step, and of a transfer what goes where: "fc.weight.send (fc.weight [0, 500) to fake:1)".
std::string described(const Plan& plan, const Step& step) {
  const auto* transfer = std::get_if<Transfer>(&step.body);
  if (transfer == nullptr) return step.name;
  const Range& range = step.reads[0];
  return fmt::format("{} ({} [{}, {}) to {})", step.name, plan.tensors[range.tensor].name, range.first,
                     range.first + range.count, plan.devices[transfer->to].name);
}

}  // namespace

LocalRunner::LocalRunner(std::vector<std::unique_ptr<Device>> devices, std::unique_ptr<Backend> backend,
                         std::vector<Plan> plans, const RunnerOptions& options)
    : devices_(std::move(devices)), backend_(std::move(backend)), backend_name_(backend_->name()), options_(options) {
  HADAL_CHECK(!plans.empty());
  MemoryOptions memory{options.guarded ? kPage : kCacheLine, std::vector<std::size_t>(devices_.size() * kStreamKinds),
                       !options.guarded && !options.keep_activations};
  const std::size_t shared_scratch = memory.share ? kSharedScratch : SIZE_MAX;
  for (Plan& plan : plans) {
    bound_.push_back(std::make_unique<BoundPlan>(std::move(plan), devices_, *backend_));
    const Deferral deferral = bound_.back()->plan().deferral;
    if (deferral == Deferral::begins) begins_ = static_cast<int>(bound_.size()) - 1;
    if (deferral == Deferral::ends) ends_ = static_cast<int>(bound_.size()) - 1;
    const auto scratch = bound_.back()->scratch_bytes(shared_scratch);
    for (std::size_t s = 0; s < scratch.size(); ++s) memory.scratch[s] = std::max(memory.scratch[s], scratch[s]);
  }
  arena_bytes_.resize(devices_.size());
  seen_.resize(devices_.size());
  trained_.resize(devices_.size());
  for (const auto& bound : bound_) {
    memory.step_scratch = bound->scratch_above(shared_scratch);
    bound->set_memory(plan_memory(bound->plan(), memory));
    for (std::size_t d = 0; d < devices_.size(); ++d) {
      arena_bytes_[d] = std::max(arena_bytes_[d], bound->memory().use[d].peak);
    }
  }
  if (options.plan_only) return;
  check_memory();
  for (std::size_t d = 0; d < devices_.size(); ++d) arenas_.push_back(devices_[d]->allocate(arena_bytes_[d]));
  for (const auto& bound : bound_) bound->place(arenas_);
  spans_.resize(devices_.size() * kStreamKinds);
}

// Arenas are pages that the system finds when they are first touched: what does not fit must be said before.
void LocalRunner::check_memory() const {
  const std::size_t needed = std::accumulate(arena_bytes_.begin(), arena_bytes_.end(), std::size_t{0});
  const std::size_t available = available_memory_bytes();
  if (available == 0 || needed <= available) return;
  const auto largest =
      static_cast<std::size_t>(std::max_element(arena_bytes_.begin(), arena_bytes_.end()) - arena_bytes_.begin());
  std::size_t which = 0;
  while (bound_[which]->memory().use[largest].peak != arena_bytes_[largest]) ++which;
  const Plan& plan = bound_[which]->plan();
  std::vector<const PlanTensor*> tensors;
  for (const PlanTensor& tensor : plan.tensors) {
    if (tensor.device == static_cast<int>(largest)) tensors.push_back(&tensor);
  }
  const std::size_t shown = std::min<std::size_t>(3, tensors.size());
  std::partial_sort(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(shown), tensors.end(),
                    [](const PlanTensor* a, const PlanTensor* b) { return a->bytes() > b->bytes(); });
  const auto gb = [](std::size_t bytes) { return fmt::format("{:.3g} GB", static_cast<double>(bytes) * 1e-9); };
  std::string names;
  for (std::size_t i = 0; i < shown; ++i) {
    names += (i ? ", " : "") + tensors[i]->name + " " + gb(tensors[i]->bytes());
  }
  const MemoryUse& use = bound_[which]->memory().use[largest];
  const bool rows_help = use.activations > use.parameters + use.state + use.gradients;
  throw DeviceError(
      fmt::format("the plan needs {} of memory, {} of it on {}, and this machine has {} free; largest: {}; {} "
                  "would help",
                  gb(needed), gb(arena_bytes_[largest]), plan.devices[largest].name, gb(available), names,
                  rows_help ? "a smaller data.batch" : "narrower layers"));
}

LocalRunner::~LocalRunner() {
  if (options_.guarded) set_access(PROT_READ | PROT_WRITE);
}

int LocalRunner::run(int index, StepValues values) {
  if (plan(index).deferral != Deferral::continues) {
    HADAL_CHECK(plan(index).deferral == Deferral::none);
    settle();
    run_plan(index, values);
    return index;
  }
  if (unsettled_) {
    values.deferred_step = unsettled_->step;
    values.deferred_rate = unsettled_->rate;
  } else {
    HADAL_CHECK(begins_ >= 0 && ends_ >= 0);
    index = begins_;
  }
  unsettled_.reset();  // a step that fails leaves nothing to go on from
  run_plan(index, values);
  unsettled_ = values;
  return index;
}

void LocalRunner::settle() {
  if (!unsettled_) return;
  StepValues values;
  values.step = values.deferred_step = unsettled_->step;
  values.deferred_rate = unsettled_->rate;
  unsettled_.reset();
  run_plan(ends_, values);
}

void LocalRunner::run_plan(int index, StepValues values) {
  values.round = ++round_;
  if (options_.guarded) {
    run_guarded(index, values);
    return;
  }
  const auto counters = [this](std::size_t d) { return devices_[d]->stream(StreamKind::compute).counters(); };
  for (std::size_t d = 0; d < devices_.size(); ++d) seen_[d] = counters(d);
  const auto start = Clock::now();
  run_streams(index, values);
  if (plan(index).mode != PlanMode::train) return;
  const double round_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (std::size_t d = 0; d < devices_.size(); ++d) {
    const StreamCounters now = counters(d);
    const double busy = now.busy_seconds - seen_[d].busy_seconds, load = now.load_seconds - seen_[d].load_seconds;
    trained_[d].busy_seconds += busy;
    trained_[d].load_seconds += load;
    // The end of a round, where copies go on alone, is waited for too.
    if (devices_.size() > 1) trained_[d].wait_seconds += std::max(0.0, round_seconds - busy - load);
  }
}

void LocalRunner::run_streams(int index, const StepValues& values) {
  const auto& programs = bound_[index]->programs();
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(options_.deadline_seconds));
  abort_.reset();
  const auto stream = [this](std::size_t s) -> Stream& {
    return devices_[s / kStreamKinds]->stream(static_cast<StreamKind>(s % kStreamKinds));
  };
  if (options_.trace) {
    for (std::size_t s = 0; s < programs.size(); ++s) spans_[s].assign(programs[s].items.size(), {});
  }
  std::exception_ptr refused;
  std::optional<StepError> failed;
  std::size_t failed_stream = 0;
  const auto note = [&](std::size_t s, const StepError& error) {
    if (!failed) failed = error, failed_stream = s;
  };
  const auto start = [&](std::size_t s, auto how) {
    if (programs[s].items.empty() || refused) return;
    try {
      (stream(s).*how)(programs[s], values, deadline, abort_, spans_[s]);
    } catch (const StepError& error) {
      note(s, error);
    } catch (...) {
      refused = std::current_exception();
      abort_.raise();
    }
  };
  // The first stream is the first device's compute stream: this thread's, where it may be.
  for (std::size_t s = 1; s < programs.size(); ++s) start(s, &Stream::submit);
  start(0, &Stream::run);
  for (std::size_t s = 1; s < programs.size(); ++s) {
    if (programs[s].items.empty()) continue;
    try {
      stream(s).synchronize();
    } catch (const StepError& error) {
      note(s, error);
    }
  }
  if (refused) std::rethrow_exception(refused);
  if (failed) fail(index, failed_stream, *failed, values);
  if (!options_.trace || trace_is_full()) return;
  for (std::size_t s = 0; s < programs.size(); ++s) {
    for (std::size_t i = 0; i < programs[s].items.size(); ++i) {
      const Item& item = programs[s].items[i];
      if (item.kind == Item::Kind::record) continue;
      trace_.push_back({values.round, index, static_cast<int>(s), item.step, item.kind, spans_[s][i]});
    }
  }
}

bool LocalRunner::trace_is_full() const { return trace_.size() > kMaxTraceEvents; }

// The step that kept all from going on when the deadline ended a wait of `step`: from what it waits for to what that
// waits for, to one that waits for nothing.
int LocalRunner::stuck_step(const Plan& plan, int step) const {
  std::set<int> seen{step};
  for (bool deeper = true; deeper;) {
    deeper = false;
    std::vector<int> waits = plan.steps[step].waits;
    waits.insert(waits.end(), plan.steps[step].room_waits.begin(), plan.steps[step].room_waits.end());
    for (const int wait : waits) {
      const Step& awaited = plan.steps[wait];
      const Item* item = devices_[awaited.device]->stream(awaited.stream).stopped_at();
      if (item == nullptr || item->step > wait || !seen.insert(item->step).second) continue;
      step = item->step;
      deeper = item->kind == Item::Kind::wait;
      break;
    }
  }
  return step;
}

void LocalRunner::fail(int index, std::size_t stream, const StepError& error, const StepValues& values) const {
  const Plan& plan = bound_[index]->plan();
  const Step& step = plan.steps[error.step];
  const std::uint64_t training_step = step.deferred ? values.deferred_step : values.step;
  std::string message = devices_[stream / kStreamKinds]->name().to_string() + ": " + described(plan, step) +
                        " at step " + std::to_string(training_step) + ": " + error.message;
  if (error.cause == StepError::Cause::not_finite) throw Diverged(message, step.layer < 0, training_step);
  for (std::size_t i = 0; i < step.waits.size() && error.cause == StepError::Cause::deadline; ++i) {
    const Step& awaited = plan.steps[step.waits[i]];
    message += (i ? ", " : "; it needs ") + described(plan, awaited) + " of " + plan.devices[awaited.device].name;
  }
  if (error.cause == StepError::Cause::deadline) {
    const int stuck = stuck_step(plan, error.step);
    const bool awaited = std::find(step.waits.begin(), step.waits.end(), stuck) != step.waits.end();
    const Step& last = plan.steps[stuck];
    if (stuck != error.step && !awaited)
      message += "; in the end it waits for " + described(plan, last) + " of " + plan.devices[last.device].name;
  }
  throw DeviceError(message);
}

void LocalRunner::set_access(int protection) {
  for (std::size_t d = 0; d < arenas_.size(); ++d) {
    if (arena_bytes_[d] > 0) HADAL_CHECK(mprotect(arenas_[d], arena_bytes_[d], protection) == 0);
  }
}

void LocalRunner::run_guarded(int index, const StepValues& values) {
  BoundPlan& bound = *bound_[index];
  const auto open = [&](const std::byte* begin, std::size_t bytes, int protection) {
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    const std::uintptr_t page = address & ~(kPage - 1);
    if (bytes > 0) HADAL_CHECK(mprotect(reinterpret_cast<void*>(page), address + bytes - page, protection) == 0);
  };
  for (int i = 0; i < static_cast<int>(bound.plan().steps.size()); ++i) {
    const Step& step = bound.plan().steps[i];
    set_access(PROT_NONE);
    for (const Range& range : step.reads) open(bound.address(range), bound.bytes(range), PROT_READ);
    for (const Range& range : step.writes) open(bound.address(range), bound.bytes(range), PROT_READ | PROT_WRITE);
    open(arenas_[step.device] + bound.memory().scratch_offset[step.stream_index()],
         bound.memory().scratch_bytes[step.stream_index()], PROT_READ | PROT_WRITE);
    if (Work* work = bound.work(i)) {
      try {
        work->run(values);
      } catch (const NotFinite& error) {
        set_access(PROT_READ | PROT_WRITE);
        fail(index, step.stream_index(), StepError(i, error.what(), StepError::Cause::not_finite), values);
      }
      continue;
    }
    const Copy copy = bound.copy(i);
    const auto* source = copy.source ? copy.source : static_cast<const std::byte*>(values.batch) + copy.batch_offset;
    for (std::size_t row = 0; row < copy.rows; ++row) {
      std::memcpy(copy.destination + row * copy.destination_pitch, source + row * copy.source_pitch, copy.row_bytes);
    }
  }
  set_access(PROT_READ | PROT_WRITE);
}

void LocalRunner::write_parameter(int parameter, const std::vector<float>& values) {
  HADAL_CHECK(!unsettled_);
  const BoundPlan& bound = *bound_[0];
  const Plan& plan = bound.plan();
  const auto& tensors = plan.parameters[parameter].tensor;
  const bool copies = plan.tensors[tensors[0]].type == DType::bf16;
  std::vector<Bf16> rounded;
  for (std::size_t i = 0; copies && i < values.size(); ++i) rounded.emplace_back(values[i]);
  for (std::size_t d = 0; d < devices_.size(); ++d) {
    if (plan.keeper_of(static_cast<int>(d)) != static_cast<int>(d)) continue;
    const std::int64_t first = plan.parameters[parameter].first[d];
    devices_[d]->upload(bound.address({tensors[d], 0, 0}),
                        copies ? static_cast<const void*>(rounded.data() + first) : values.data() + first,
                        plan.tensors[tensors[d]].bytes());
  }
  for (const OwnedRange& owned : plan.owned) {
    if (owned.parameter != parameter || owned.master < 0) continue;
    devices_[owned.device]->upload(bound.address({owned.master, 0, 0}), values.data() + owned.first,
                                   static_cast<std::size_t>(owned.count) * sizeof(float));
  }
}

std::vector<float> LocalRunner::read_parameter(int parameter) const {
  HADAL_CHECK(!unsettled_);
  const Plan& plan = bound_[0]->plan();
  const ParameterPlace& place = plan.parameters[parameter];
  std::vector<float> values(static_cast<std::size_t>(place.elements));
  for (std::size_t d = 0; d < static_cast<std::size_t>(plan.split); ++d) {  // of the first group
    const std::vector<float> part = read_numbers(0, place.tensor[d]);
    std::copy(part.begin(), part.end(), values.begin() + place.first[d]);
  }
  for (const OwnedRange& owned : plan.owned) {
    if (owned.parameter != parameter) continue;
    const int tensor = place.tensor[owned.device];
    if (owned.master < 0 && plan.tensors[tensor].type != DType::f32) continue;
    const Range range = owned.master >= 0 ? Range{owned.master, 0, owned.count}
                                          : Range{tensor, owned.first - place.first[owned.device], owned.count};
    devices_[owned.device]->download(values.data() + owned.first, bound_[0]->address(range), bound_[0]->bytes(range));
  }
  return values;
}

void LocalRunner::write_state(int parameter, std::size_t state, const std::vector<float>& values) {
  HADAL_CHECK(!unsettled_);
  const BoundPlan& bound = *bound_[0];
  const std::vector<int>& everywhere = bound.plan().parameters[parameter].squares;
  if (!everywhere.empty()) {
    devices_[state]->upload(bound.address({everywhere[state], 0, 0}), values.data(), values.size() * sizeof(float));
    return;
  }
  for (const OwnedRange& owned : bound.plan().owned) {
    if (owned.parameter != parameter) continue;
    devices_[owned.device]->upload(bound.address({owned.states[state], 0, 0}), values.data() + owned.first,
                                   static_cast<std::size_t>(owned.count) * sizeof(float));
  }
}

std::vector<float> LocalRunner::read_state(int parameter, std::size_t state) const {
  HADAL_CHECK(!unsettled_);
  const std::vector<int>& everywhere = bound_[0]->plan().parameters[parameter].squares;
  if (!everywhere.empty()) return read_numbers(0, everywhere[state]);
  std::vector<float> values;
  for (const OwnedRange& owned : bound_[0]->plan().owned) {
    if (owned.parameter != parameter) continue;
    values.resize(static_cast<std::size_t>(bound_[0]->plan().parameters[parameter].elements));
    read(0, owned.states[state], values.data() + owned.first, static_cast<std::size_t>(owned.count) * sizeof(float));
  }
  return values;
}

void LocalRunner::read(int index, int tensor, void* host, std::size_t bytes) const {
  const BoundPlan& bound = *bound_[index];
  devices_[bound.plan().tensors[tensor].device]->download(host, bound.address({tensor, 0, 0}), bytes);
}

std::vector<float> LocalRunner::read_numbers(int index, int tensor) const {
  const PlanTensor& which = bound_[index]->plan().tensors[tensor];
  std::vector<float> values(static_cast<std::size_t>(which.elements));
  if (which.type == DType::f32) {
    read(index, tensor, values.data(), which.bytes());
    return values;
  }
  HADAL_CHECK(which.type == DType::bf16);
  std::vector<Bf16> numbers(values.size());
  read(index, tensor, numbers.data(), which.bytes());
  std::transform(numbers.begin(), numbers.end(), values.begin(),
                 [](Bf16 number) { return static_cast<float>(number); });
  return values;
}

std::uint64_t LocalRunner::copied_bytes() const {
  std::uint64_t bytes = 0;
  const int devices = static_cast<int>(devices_.size());
  for (const auto& bound : bound_) {
    const bool trains = bound->plan().mode == PlanMode::train || bound->plan().mode == PlanMode::average;
    for (int from = 0; trains && from < devices; ++from) {
      for (int to = 0; to < devices; ++to) bytes += bound->copied_bytes(from, to);
    }
  }
  return bytes;
}

std::vector<DeviceUse> LocalRunner::use() const {
  std::vector<DeviceUse> uses(devices_.size());
  for (std::size_t d = 0; d < devices_.size(); ++d) {
    DeviceUse& use = uses[d];
    use.arena_bytes = arena_bytes_[d];
    for (const auto& bound : bound_) {
      const MemoryUse& memory = bound->memory().use[d];
      if (memory.peak == use.arena_bytes) use.memory = memory;
    }
    use.compute_seconds = trained_[d].busy_seconds;
    use.load_seconds = trained_[d].load_seconds;
    use.wait_seconds = trained_[d].wait_seconds;
  }
  return uses;
}

}  // namespace hadal
