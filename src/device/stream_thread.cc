#include "device/stream_thread.h"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace hadal {

namespace {

constexpr unsigned long kTimerSlackNanoseconds = 1000;

std::int64_t nanoseconds(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

bool is_load(const Item& item) { return item.kind == Item::Kind::copy && item.copy.source == nullptr; }

void copy_rows(const Copy& copy, const std::byte* source) {
  const bool contiguous = copy.source_pitch == copy.row_bytes && copy.destination_pitch == copy.row_bytes;
  const std::size_t pieces = contiguous ? 1 : copy.rows;
  const std::size_t piece_bytes = contiguous ? copy.rows * copy.row_bytes : copy.row_bytes;
  if (copy.rows == 0 || copy.row_bytes == 0) return;
  for (std::size_t row = 0; row < pieces; ++row) {
    std::memcpy(copy.destination + row * copy.destination_pitch, source + row * copy.source_pitch, piece_bytes);
  }
}

}  // namespace

const char* to_string(StreamKind kind) {
  switch (kind) {
    case StreamKind::compute:
      return "compute";
    case StreamKind::gather:
      return "gather";
    case StreamKind::distribute:
      return "distribute";
    case StreamKind::gather_down:
      return "gather_down";
    case StreamKind::distribute_down:
      return "distribute_down";
    case StreamKind::transfer:
      return "transfer";
  }
  return "";
}

StreamThread::~StreamThread() {
  if (!thread_.joinable()) return;
  if (ended_.value() < submissions_) abort_->raise();
  quit_.store(true);
  submitted_.advance(submissions_ + 1);
  thread_.join();
}

void StreamThread::submit(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
                          std::span<Span> spans) {
  HADAL_CHECK(synchronized_);
  if (program.items.empty()) return;
  if (!thread_.joinable()) start();
  take(program, values, deadline, abort, spans);
  synchronized_ = false;
  submitted_.advance(++submissions_);
}

void StreamThread::take(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
                        std::span<Span> spans) {
  HADAL_CHECK(spans.empty() || spans.size() == program.items.size());
  program_ = &program;
  values_ = values;
  deadline_ = deadline;
  abort_ = &abort;
  spans_ = spans;
}

void StreamThread::run(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
                       std::span<Span> spans) {
  if (!options_.on_caller) {
    Stream::run(program, values, deadline, abort, spans);
    return;
  }
  HADAL_CHECK(synchronized_);
  if (program.items.empty()) return;
  take(program, values, deadline, abort, spans);
  // The caller lends its thread, and gets it back as it was: what it starts later inherits nothing.
  const int threads_before = omp_get_max_threads();
  cpu_set_t cores_before;
  const bool bound = !options_.cores.empty() && sched_getaffinity(0, sizeof cores_before, &cores_before) == 0;
  set_up_thread();
  run_program();
  omp_set_num_threads(threads_before);
  if (bound) sched_setaffinity(0, sizeof cores_before, &cores_before);
  if (error_) throw *std::exchange(error_, std::nullopt);
}

void StreamThread::synchronize() {
  ended_.wait(submissions_);
  synchronized_ = true;
  if (error_) throw *std::exchange(error_, std::nullopt);
}

StreamCounters StreamThread::counters() const {
  using Seconds = std::chrono::duration<double>;
  return {.busy_seconds = Seconds(busy_).count(),
          .load_seconds = Seconds(loaded_).count(),
          .wait_seconds = Seconds(waited_).count()};
}

void StreamThread::start() {
  try {
    thread_ = std::thread([this] { serve(); });
  } catch (const std::system_error& error) {
    throw DeviceError(fmt::format("cannot start a thread for {}: {}", options_.name, error.code().message()));
  }
}

void StreamThread::serve() {
  set_up_thread();
  for (std::uint64_t turn = 1;; ++turn) {
    submitted_.wait(turn);
    if (quit_.load()) return;
    run_program();
    ended_.advance(turn);
  }
}

void StreamThread::set_up_thread() const {
  if (!options_.cores.empty()) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (const int core : options_.cores) CPU_SET(static_cast<std::size_t>(core), &mask);
    pthread_setaffinity_np(pthread_self(), sizeof(mask), &mask);
  }
  omp_set_num_threads(options_.threads);
  if (options_.precise) prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds);  // else 50 us late
}

void StreamThread::run_program() {
  Clock::time_point begin = Clock::now();
  const Item*& item = stopped_at_;
  item = program_->items.data();
  try {
    for (std::size_t i = 0; i < program_->items.size(); ++i, ++item) {
      const bool works = item->kind == Item::Kind::run || item->kind == Item::Kind::copy;
      if (works && options_.lateness.count() > 0) {
        sleep_until(begin + options_.lateness);
        begin = Clock::now();
      }
      if (abort_->raised() || !execute(*item, begin)) return;
      const Clock::time_point end = Clock::now();
      if (works) (is_load(*item) ? loaded_ : busy_) += end - begin;
      if (item->kind == Item::Kind::wait) waited_ += end - begin;
      if (!spans_.empty()) spans_[i] = {nanoseconds(begin), nanoseconds(end)};
      begin = end;
    }
    item = nullptr;
    return;
  } catch (const StepError& error) {
    error_ = error;
  } catch (const NotFinite& error) {
    error_.emplace(item->step, error.what(), StepError::Cause::not_finite);
  } catch (const std::exception& error) {
    error_.emplace(item->step, error.what());
  } catch (...) {
    error_.emplace(item->step, "failed with an exception that is no std::exception");
  }
  abort_->raise();
}

bool StreamThread::execute(const Item& item, Clock::time_point begin) {
  switch (item.kind) {
    case Item::Kind::run:
      item.work->run(values_);
      return true;
    case Item::Kind::copy:
      return copy(item.copy, begin);
    case Item::Kind::wait:
      return wait(item, begin);
    case Item::Kind::record:
      item.event->record(values_.round);
      return true;
  }
  return false;
}

bool StreamThread::wait(const Item& item, Clock::time_point begin) {
  const Event::Outcome outcome = item.event->wait(values_.round, deadline_, *abort_);
  if (outcome == Event::Outcome::deadline) {
    const std::chrono::duration<double> waited = Clock::now() - begin;
    throw StepError(item.step,
                    fmt::format("{} waited {:.3g} s for an event that was not reached before the deadline",
                                options_.name, waited.count()),
                    StepError::Cause::deadline);
  }
  return outcome == Event::Outcome::reached;
}

bool StreamThread::copy(const Copy& copy, Clock::time_point begin) {
  const std::byte* source = copy.source;
  if (source == nullptr) {
    HADAL_CHECK(values_.batch != nullptr);
    source = static_cast<const std::byte*>(values_.batch) + copy.batch_offset;
  }
  if (!pace(copy, begin, *abort_)) return false;
  copy_rows(copy, source);
  if (copy.counter != nullptr) copy.counter->fetch_add(copy.rows * copy.row_bytes, std::memory_order_relaxed);
  return true;
}

bool StreamThread::sleep_until(Clock::time_point until) const {
  for (Clock::time_point now = Clock::now(); now < until; now = Clock::now()) {
    if (abort_->raised()) return false;
    std::this_thread::sleep_until(std::min(until, now + kAbortCheck));
  }
  return true;
}

}  // namespace hadal
