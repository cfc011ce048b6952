#include <algorithm>

#include "device/stream.h"

namespace hadal {

void Event::record(std::uint64_t round) { reached_.advance(round); }

Event::Outcome Event::wait(std::uint64_t round, Deadline deadline, const Abort& abort) {
  if (reached_.value() >= round) return Outcome::reached;
  Clock::time_point now = Clock::now();
  while (!reached_.wait_until(round, std::min(deadline, now + kAbortCheck))) {
    if (abort.raised()) return Outcome::aborted;
    now = Clock::now();
    if (now >= deadline) return Outcome::deadline;
  }
  return Outcome::reached;
}

}  // namespace hadal
