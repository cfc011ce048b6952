#include "data/dataset.h"

#include <utility>
#include <vector>

#include "data/idx_dataset.h"
#include "data/synthetic_dataset.h"

namespace hadal {

namespace {

class GoodSamples : public Dataset {
 public:
  GoodSamples(std::unique_ptr<Dataset> all, std::int64_t classes) : all_(std::move(all)), classes_(classes) {
    for (std::int64_t i = 0; i < all_->size(); ++i) {
      if (all_->label(i) < classes) good_.push_back(i);
    }
    if (good_.empty()) throw all_->bad_label(0, classes);
  }

  const Shape& sample_shape() const override { return all_->sample_shape(); }
  std::int64_t size() const override { return static_cast<std::int64_t>(good_.size()); }
  std::int64_t classes() const override { return classes_; }
  std::int32_t label(std::int64_t i) const override { return all_->label(good_[i]); }
  void copy_sample(std::int64_t i, std::span<float> values) const override { all_->copy_sample(good_[i], values); }
  DataError bad_label(std::int64_t i, std::int64_t network_classes) const override {
    return all_->bad_label(good_[i], network_classes);
  }

 private:
  std::unique_ptr<Dataset> all_;
  std::int64_t classes_;
  std::vector<std::int64_t> good_;
};

}  // namespace

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

std::unique_ptr<Dataset> without_bad_samples(std::unique_ptr<Dataset> dataset, std::int64_t classes) {
  if (dataset->classes() <= classes) return dataset;
  return std::make_unique<GoodSamples>(std::move(dataset), classes);
}

}  // namespace hadal
