#pragma once
// Independent pieces of work, on several threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <list>

#include "base/owned_thread.h"

namespace hadal {

// Calls body(i) once for each i in [0, count), from `threads` threads at most, the caller's among them, in any order:
// each call writes what is its own. What a call throws is thrown here after the calls that run have ended, and no
// further ones begin.
template <class Body>
void run_tasks(int threads, std::int64_t count, const Body& body) {
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    try {
      for (std::int64_t i = next++; i < count; i = next++) body(i);
    } catch (...) {
      next = count;
      throw;
    }
  };
  std::list<OwnedThread> others;
  for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, count); ++i) others.emplace_back(work);
  work();
  for (OwnedThread& other : others) other.join();
}

}  // namespace hadal
