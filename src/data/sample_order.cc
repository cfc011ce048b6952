#include "data/sample_order.h"

#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace hadal {

namespace {

// `draw(i)` is uniform in [0, i].
template <class Draw>
void shuffle(std::span<std::uint32_t> samples, Draw draw) {
  for (std::size_t i = samples.size(); i-- > 1;) std::swap(samples[i], samples[draw(i)]);
}

void begin_order(const Epoch& epoch, std::span<std::uint32_t> samples) {
  HADAL_CHECK(epoch.number >= 0 && epoch.number <= UINT32_MAX);
  HADAL_CHECK(samples.size() <= std::uint64_t{1} << 32);
  std::iota(samples.begin(), samples.end(), 0u);
}

}  // namespace

void order_samples(const Epoch& epoch, std::span<std::uint32_t> samples) {
  begin_order(epoch, samples);
  if (epoch.order == SampleOrder::sequential) return;
  const RandomSequence sequence(epoch.seed, RandomUse::shuffle, static_cast<std::uint32_t>(epoch.number));
  shuffle(samples, [&](std::size_t i) { return sequence.below(i, i + 1); });
}

void order_window(const Epoch& epoch, std::uint32_t window, std::span<std::uint32_t> samples) {
  begin_order(epoch, samples);
  if (epoch.order == SampleOrder::sequential) return;
  const RandomSequence sequence(epoch.seed, RandomUse::shuffle_window, static_cast<std::uint32_t>(epoch.number));
  shuffle(samples, [&](std::size_t i) {
    const std::uint32_t bits = sequence.bits(static_cast<std::uint32_t>(i / 4), window, 0)[i % 4];
    return static_cast<std::size_t>(std::uint64_t{bits} * (i + 1) >> 32);
  });
}

}  // namespace hadal
