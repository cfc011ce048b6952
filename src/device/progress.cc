#include "device/progress.h"

namespace hadal {

namespace {

// About what a sleep and a wake-up cost: a longer spin may lose more than it can win, and takes a core from those who
// have work where threads outnumber the cores.
constexpr std::chrono::microseconds kSpin{5};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// The sequentially consistent order of value_ and sleepers_ makes either this see the sleeper, or the sleeper the
// value.
void Progress::advance(std::uint64_t value) {
  value_.store(value, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
  { std::lock_guard lock(mutex_); }  // whoever counted itself and saw the old value is asleep now
  changed_.notify_all();
}

void Progress::wait(std::uint64_t value) {
  if (spin(value)) return;
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  changed_.wait(lock, [&] { return value_.load(std::memory_order_seq_cst) >= value; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

bool Progress::wait_until(std::uint64_t value, Clock::time_point until) {
  if (spin(value)) return true;
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  const bool reached =
      changed_.wait_until(lock, until, [&] { return value_.load(std::memory_order_seq_cst) >= value; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return reached;
}

bool Progress::spin(std::uint64_t value) const {
  if (this->value() >= value) return true;
  const Clock::time_point until = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 8; ++i) {
      pause();
      if (this->value() >= value) return true;
    }
  } while (Clock::now() < until);
  return false;
}

}  // namespace hadal
