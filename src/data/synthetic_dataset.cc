#include "data/synthetic_dataset.h"

#include <algorithm>
#include <bit>

#include "base/thousands.h"

namespace hadal {

namespace {

enum class Part : std::uint32_t { labels = 0, values = 1 };

RandomSequence sequence(std::uint64_t seed, Split split, Part part) {
  return RandomSequence(seed, RandomUse::synthetic,
                        2 * static_cast<std::uint32_t>(split) + static_cast<std::uint32_t>(part));
}

constexpr std::uint64_t kSmallestTable = std::uint64_t{1} << 16, kLargestTable = std::uint64_t{1} << 22;

// The distance between the windows of neighbours: odd, so that all places are met before one comes again.
constexpr std::uint64_t kStride = 0x9E3779B1;

}  // namespace

SyntheticDataset::SyntheticDataset(const SyntheticData& data, const Shape& input, std::uint64_t seed, Split split)
    : input_(input), samples_(data.samples), classes_(data.classes), labels_(sequence(seed, split, Part::labels)) {
  HADAL_CHECK(samples_ > 0 && classes_ > 0);
  const std::uint64_t wanted = 4 * static_cast<std::uint64_t>(std::min<std::int64_t>(elements(input), kLargestTable));
  table_.resize(std::clamp(std::bit_ceil(wanted), kSmallestTable, kLargestTable));
  const RandomSequence values = sequence(seed, split, Part::values);
  for (std::size_t i = 0; i < table_.size(); ++i) table_[i] = values.normal(i);
}

std::int32_t SyntheticDataset::label(std::int64_t i) const {
  return static_cast<std::int32_t>(labels_.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(classes_)));
}

void SyntheticDataset::copy_sample(std::int64_t i, std::span<float> values) const {
  std::size_t begin = static_cast<std::uint64_t>(i) * kStride % table_.size();
  while (!values.empty()) {
    const std::size_t count = std::min(values.size(), table_.size() - begin);
    std::copy_n(table_.begin() + static_cast<std::ptrdiff_t>(begin), count, values.begin());
    values = values.subspan(count);
    begin = 0;
  }
}

DataError SyntheticDataset::bad_label(std::int64_t i, std::int64_t network_classes) const {
  return DataError("synthetic data: label " + std::to_string(label(i)) + " of sample " +
                   with_thousands(static_cast<std::uint64_t>(i)) + " is out of range: the data has " +
                   std::to_string(classes_) + " classes, the network " + std::to_string(network_classes));
}

}  // namespace hadal
