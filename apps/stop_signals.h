#pragma once
// Ctrl-C, SIGTERM, a closed terminal and SIGUSR1 while a run trains.
//
// No handler may run on a thread that computes: kernels of oneDNN (2.6.3, at least its sgemm) keep numbers below the
// stack pointer, farther than the red zone that a signal's frame leaves alone, so a handler there corrupts memory.

#include <atomic>
#include <csignal>
#include <thread>

namespace hadal {

// While this object lives, the signals are blocked in the thread that made it and in all that it starts later, and a
// thread of its own takes them: the first Ctrl-C or SIGTERM sets stop(), the second ends the process with exit code 5;
// SIGHUP, unless it was ignored (nohup), sets stop() however often it comes; SIGUSR1 sets tell(). Made before any other
// thread.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& stop() const { return stop_; }
  std::atomic<bool>& tell() { return tell_; }  // who tells what was asked for sets it back

 private:
  void take_signals();

  sigset_t signals_, before_;
  std::atomic<bool> stop_{false}, tell_{false}, quit_{false};
  std::thread thread_;
};

}  // namespace hadal
