#include "data/sample_order.h"

#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace hadal {

void order_samples(const Epoch& epoch, std::span<std::uint32_t> samples) {
  HADAL_CHECK(epoch.number >= 0 && epoch.number <= UINT32_MAX);
  HADAL_CHECK(samples.size() <= std::uint64_t{1} << 32);
  std::iota(samples.begin(), samples.end(), 0u);
  if (epoch.order == SampleOrder::sequential) return;
  const RandomSequence sequence(epoch.seed, RandomUse::shuffle, static_cast<std::uint32_t>(epoch.number));
  for (std::size_t i = samples.size(); i-- > 1;) std::swap(samples[i], samples[sequence.below(i, i + 1)]);
}

}  // namespace hadal
