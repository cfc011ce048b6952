#include "data/dataset.h"

#include <fmt/format.h>

#include "base/crc32c.h"
#include "data/idx_dataset.h"
#include "data/synthetic_dataset.h"

namespace hadal {

namespace {

class MemoryStream : public SampleStream {
 public:
  MemoryStream(const Dataset& dataset, const StreamOptions& options)
      : dataset_(dataset),
        options_(options),
        sample_elements_(static_cast<std::size_t>(elements(dataset.sample_shape()))),
        epoch_(options.first_epoch),
        next_(static_cast<std::size_t>(options.first_sample)),
        order_(static_cast<std::size_t>(dataset.size())) {}

  bool next(std::span<float> samples, std::span<std::int32_t> labels) override {
    if (next_ == order_.size()) {
      next_ = 0;
      ++epoch_;
    }
    if (epoch_ != ordered_) {
      order_samples({.seed = options_.seed, .number = epoch_, .order = options_.order}, order_);
      ordered_ = epoch_;
    }
    HADAL_CHECK(next_ + labels.size() <= order_.size());
    for (std::size_t row = 0; row < labels.size(); ++row) {
      const std::int64_t index = order_[next_++];
      dataset_.copy_sample(index, samples.subspan(row * sample_elements_, sample_elements_));
      labels[row] = dataset_.label(index);
    }
    return true;
  }

 private:
  const Dataset& dataset_;
  const StreamOptions options_;
  const std::size_t sample_elements_;
  std::int64_t epoch_ = 0, ordered_ = -1;  // of the next sample; of order_
  std::size_t next_ = 0;
  std::vector<std::uint32_t> order_;
};

}  // namespace

std::unique_ptr<SampleStream> Dataset::stream(const StreamOptions& options) const {
  return std::make_unique<MemoryStream>(*this, options);
}

std::unique_ptr<Dataset> make_dataset(const DataSource& source, const Shape& input, std::uint64_t seed, Split split) {
  HADAL_CHECK(!is_streamed(source));
  if (const auto* const idx = std::get_if<IdxData>(&source)) return std::make_unique<IdxDataset>(*idx, input);
  return std::make_unique<SyntheticDataset>(std::get<SyntheticData>(source), input, seed, split);
}

void validate(const Dataset& dataset, std::int64_t classes) {
  if (dataset.classes() <= classes) return;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (dataset.label(i) >= classes) throw dataset.bad_label(i, classes);
  }
}

std::string Dataset::fingerprint() const {
  std::uint32_t sum = 0;
  for (std::int64_t i = 0; i < size(); ++i) {
    const std::int32_t value = label(i);
    sum = crc32c(std::as_bytes(std::span(&value, 1)), sum);
  }
  return fmt::format("{} samples, labels {:08x}", size(), sum);
}

}  // namespace hadal
