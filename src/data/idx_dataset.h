#pragma once
// Images and labels in two IDX files (idx_file.h).

#include "data/dataset.h"
#include "data/idx_file.h"

namespace hadal {

// Samples of [28, 28] fit an input of [1, 28, 28]: leading dimensions of 1 do not count. Both files are kept in memory.
class IdxDataset : public Dataset {
 public:
  IdxDataset(const IdxData& data, const Shape& input);

  const Shape& sample_shape() const override { return input_; }
  std::int64_t size() const override { return images_.size(); }
  std::int64_t classes() const override { return classes_; }  // the largest label, and one
  std::int32_t label(std::int64_t i) const override { return labels_.sample(i)[0]; }
  void copy_sample(std::int64_t i, std::span<float> values) const override;
  DataError bad_label(std::int64_t i, std::int64_t network_classes) const override;

 private:
  Shape input_;
  IdxFile images_, labels_;
  std::int64_t classes_ = 0;
};

}  // namespace hadal
