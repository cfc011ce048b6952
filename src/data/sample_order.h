#pragma once
// Which samples come when: a pure function of the job, not of who reads them.

#include <cstdint>
#include <span>

#include "spec/job.h"

namespace hadal {

struct Epoch {
  std::uint64_t seed = 0;
  std::int64_t number = 0;  // from 0; below 2^32
  SampleOrder order = SampleOrder::shuffled;
};

// Fills `samples` with a permutation of its indices: the order in which the epoch meets the samples. Shuffled: Fisher
// and Yates (Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2P), with draw i from number i of
// RandomSequence{seed, shuffle, epoch}. At most 2^32 samples.
void order_samples(const Epoch& epoch, std::span<std::uint32_t> samples);

// The same for a window of an epoch, whose samples are shuffled together: with draws of their own for each window.
void order_window(const Epoch& epoch, std::uint32_t window, std::span<std::uint32_t> samples);

}  // namespace hadal
