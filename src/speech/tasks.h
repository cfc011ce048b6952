#pragma once
// Independent pieces of work, on several threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <list>

#include "base/owned_thread.h"

namespace hadal {

// Calls body(worker, i) once for each i in [0, count), from `threads` threads at most, the caller's among them, in any
// order: each call writes what is its own. `worker` is what make_worker() gives each thread, for all of its calls. What
// a call throws is thrown here after the calls that run have ended, and no further ones begin.
template <class MakeWorker, class Body>
void run_tasks(int threads, std::int64_t count, const MakeWorker& make_worker, const Body& body) {
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    try {
      auto worker = make_worker();
      for (std::int64_t i = next++; i < count; i = next++) body(worker, i);
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

// The same for calls body(i), of threads that keep nothing.
template <class Body>
void run_tasks(int threads, std::int64_t count, const Body& body) {
  struct Nothing {};
  run_tasks(
      threads, count, [] { return Nothing{}; }, [&](Nothing, std::int64_t i) { body(i); });
}

}  // namespace hadal
