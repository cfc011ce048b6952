#include "data/stage.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace hadal {

Stage::Stage(std::string name, int most, Work work, std::function<void()> failed)
    : name_(std::move(name)), most_(most), work_(std::move(work)), failed_(std::move(failed)) {}

Stage::~Stage() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
}

void Stage::set_threads(int count) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = std::clamp(count, 1, most_);
  }
  changed_.notify_all();
  for (int worker = static_cast<int>(threads_.size()); worker < wanted_; ++worker) {
    threads_.push_back(std::make_unique<OwnedThread>([this, worker] { run(worker); }));
  }
}

void Stage::run(int worker) {
  try {
    for (bool more = true; more;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return ending_ || worker < wanted_; });
        if (ending_) return;
      }
      StageTimes times;
      more = work_(worker, times);
      const std::lock_guard lock(mutex_);
      times_.busy_seconds += times.busy_seconds;
      times_.starved_seconds += times.starved_seconds;
      times_.wait_seconds += times.wait_seconds;
      times_.samples += times.samples;
    }
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    failed_();
  }
}

InputCounters Stage::counters() const {
  const std::lock_guard lock(mutex_);
  InputCounters counters{.name = name_, .threads = wanted_, .samples = times_.samples};
  counters.busy_seconds = times_.busy_seconds;
  counters.wait_seconds = times_.wait_seconds;
  counters.starved_seconds = times_.starved_seconds;
  return counters;
}

void Stage::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

}  // namespace hadal
