#pragma once
// What the tests of this folder let streams run.

#include <functional>
#include <utility>
#include <vector>

#include "device/stream.h"

namespace hadal {

// A kernel that is a function.
class TestWork : public Work {
 public:
  explicit TestWork(std::function<void(const StepValues&)> function, std::vector<Argument> arguments = {})
      : function_(std::move(function)), arguments_(std::move(arguments)) {}

  void run(const StepValues& values) override { function_(values); }
  std::span<const Argument> arguments() const override { return arguments_; }

 private:
  std::function<void(const StepValues&)> function_;
  std::vector<Argument> arguments_;
};

inline Item run_item(Work& work, int step = 0) { return {.kind = Item::Kind::run, .step = step, .work = &work}; }
inline Item copy_item(const Copy& copy, int step = 0) { return {.kind = Item::Kind::copy, .step = step, .copy = copy}; }
inline Item wait_item(Event& event, int step = 0) { return {.kind = Item::Kind::wait, .step = step, .event = &event}; }
inline Item record_item(Event& event, int step = 0) {
  return {.kind = Item::Kind::record, .step = step, .event = &event};
}

inline Deadline in(std::chrono::milliseconds time) { return Clock::now() + time; }

}  // namespace hadal
