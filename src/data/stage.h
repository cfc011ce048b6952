#pragma once
// A stage of a pipeline: threads that do the same work side by side.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/owned_thread.h"
#include "data/sample_source.h"

namespace hadal {

// What one piece of work took; a worker fills it in.
struct StageTimes {
  double busy_seconds = 0, starved_seconds = 0, wait_seconds = 0;
  std::int64_t samples = 0;
};

// Its threads call `work` until it returns false. What they throw is kept for rethrow(), after `failed` was called. The
// owner makes every call of `work` return before it ends the stage.
class Stage {
 public:
  // One call of it does one piece of work; `worker` is below `most`, and no two calls at a time have the same.
  using Work = std::function<bool(int worker, StageTimes& times)>;

  Stage(std::string name, int most, Work work, std::function<void()> failed);
  ~Stage();

  // How many of its threads work from now on, at most `most`; those that are too many rest after their piece. They are
  // started when they are first wanted. The owner's thread.
  void set_threads(int count);
  int threads() const { return wanted_; }
  int most() const { return most_; }

  // Any thread.
  InputCounters counters() const;
  void rethrow() const;

 private:
  void run(int worker);

  const std::string name_;
  const int most_;
  const Work work_;
  const std::function<void()> failed_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::atomic<int> wanted_{0};
  bool ending_ = false;
  StageTimes times_;
  std::exception_ptr error_;

  std::vector<std::unique_ptr<OwnedThread>> threads_;
};

}  // namespace hadal
