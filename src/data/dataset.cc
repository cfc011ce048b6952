#include "data/dataset.h"

#include <fmt/format.h>

#include "base/crc32c.h"
#include "data/idx_dataset.h"
#include "data/synthetic_dataset.h"

namespace hadal {

std::unique_ptr<Dataset> make_dataset(const DataSource& source, const Shape& input, std::uint64_t seed, Split split) {
  if (const auto* const idx = std::get_if<IdxData>(&source)) return std::make_unique<IdxDataset>(*idx, input);
  return std::make_unique<SyntheticDataset>(std::get<SyntheticData>(source), input, seed, split);
}

void validate(const Dataset& dataset, std::int64_t classes) {
  if (dataset.classes() <= classes) return;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (dataset.label(i) >= classes) throw dataset.bad_label(i, classes);
  }
}

std::string fingerprint(const Dataset& dataset) {
  std::uint32_t sum = 0;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int32_t label = dataset.label(i);
    sum = crc32c(std::as_bytes(std::span(&label, 1)), sum);
  }
  return fmt::format("{} samples, labels {:08x}", dataset.size(), sum);
}

}  // namespace hadal
