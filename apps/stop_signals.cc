#include "apps/stop_signals.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdio>

namespace hadal {

StopSignals::StopSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGUSR1);
  struct sigaction hang_up;
  if (sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) sigaddset(&signals_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  thread_ = std::thread([this] { take_signals(); });
}

StopSignals::~StopSignals() {
  quit_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);  // only to wake it
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void StopSignals::take_signals() {
  for (int signal = 0; sigwait(&signals_, &signal) == 0 && !quit_;) {
    if (signal == SIGUSR1) {
      tell_ = true;
      continue;
    }
    if (signal == SIGHUP) {  // the terminal is gone; it comes more than once
      stop_ = true;
      continue;
    }
    if (!stop_.exchange(true)) {
      // Who reads a pipe gets the one line at the end.
      if (isatty(STDERR_FILENO) == 0) continue;
      std::fprintf(stderr,
                   "\nhadal: finishing this step, then stopping with a checkpoint; once more to stop at once\n");
      continue;
    }
    std::fprintf(stderr, "\nhadal: stopped at once; --resume goes on from the last checkpoint, if there is one\n");
    ::_exit(5);
  }
}

}  // namespace hadal
