#pragma once
// A stream that is one thread, which begins with the first program that holds an item.

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "device/device.h"

namespace hadal {

struct StreamOptions {
  std::string name;                      // "cpu:0's compute stream", in errors
  int threads = 1;                       // that OpenMP may use in its kernels
  std::vector<int> cores;                // that it and its OpenMP threads are bound to; empty: any
  bool precise = false;                  // sleeps end within microseconds
  bool on_caller = false;                // run() needs no thread of its own
  std::chrono::nanoseconds lateness{0};  // slept before each kernel and copy
};

class StreamThread : public Stream {
 public:
  explicit StreamThread(StreamOptions options) : options_(std::move(options)) {}
  ~StreamThread() override;

  void submit(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
              std::span<Span> spans) override;
  void synchronize() override;
  void run(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
           std::span<Span> spans) override;
  StreamCounters counters() const override;
  const Item* stopped_at() const override { return stopped_at_; }

 protected:
  // Blocks until a copy that began at `begin` may arrive. False where the round was aborted meanwhile.
  virtual bool pace(const Copy&, Clock::time_point, const Abort&) { return true; }

 private:
  void take(const Program& program, const StepValues& values, Deadline deadline, Abort& abort, std::span<Span> spans);
  void start();
  void serve();
  void set_up_thread() const;
  void run_program();

  // False where the round was aborted meanwhile.
  bool execute(const Item& item, Clock::time_point begin);
  bool wait(const Item& item, Clock::time_point begin);
  bool copy(const Copy& copy, Clock::time_point begin);
  bool sleep_until(Clock::time_point until) const;

  const StreamOptions options_;

  // What was submitted: written by the caller before submitted_ advances, read by the thread until ended_ does.
  const Program* program_ = nullptr;
  const Item* stopped_at_ = nullptr;
  StepValues values_;
  Deadline deadline_;
  Abort* abort_ = nullptr;
  std::span<Span> spans_;

  // What became of it: written by the thread before ended_ advances.
  std::optional<StepError> error_;
  std::chrono::nanoseconds busy_{0}, loaded_{0}, waited_{0};

  std::uint64_t submissions_ = 0;
  bool synchronized_ = true;
  Progress submitted_, ended_;
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace hadal
