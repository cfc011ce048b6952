#pragma once
// How many OpenMP threads a kernel uses.

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace hadal {

// The calling thread's OpenMP setting while this object lives. oneDNN takes it both when a primitive is created and
// when it runs.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

// Calls body(begin, end) on pieces of [0, count), each at least `grain` long, at most `threads` of them at once. `body`
// may not throw. The pieces depend on the arguments alone.
template <class Body>
void parallel_for(int threads, std::int64_t count, std::int64_t grain, const Body& body) {
  const std::int64_t pieces = std::min<std::int64_t>(threads, count / std::max<std::int64_t>(grain, 1));
  if (pieces <= 1) {
    body(std::int64_t{0}, count);
    return;
  }
#ifndef HADAL_SANITIZED  // ThreadSanitizer does not see how OpenMP's runtime orders its threads
#pragma omp parallel for num_threads(static_cast <int>(pieces)) schedule(static, 1)
#endif
  for (std::int64_t piece = 0; piece < pieces; ++piece) body(count * piece / pieces, count * (piece + 1) / pieces);
}

// Elements for which starting another thread pays.
inline constexpr std::int64_t kParallelGrain = 32768;

}  // namespace hadal
