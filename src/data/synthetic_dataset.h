#pragma once
// Random samples, for plans and benchmarks.

#include <vector>

#include "base/random.h"
#include "data/dataset.h"

namespace hadal {

// Sample i is a pure function of (seed, split, i) and the input's size: a window of a table of normal values (mean 0,
// deviation 1), so that making one costs no more than a copy. Windows begin at different places for as many samples as
// the table has values (2^16 to 2^22); past these, values repeat, with other labels. Labels are uniform in [0,
// classes).
class SyntheticDataset : public Dataset {
 public:
  // Throws DataError where the input is too large.
  SyntheticDataset(const SyntheticData& data, const Shape& input, std::uint64_t seed, Split split);

  const Shape& sample_shape() const override { return input_; }
  std::int64_t size() const override { return samples_; }
  std::int64_t classes() const override { return classes_; }
  std::int32_t label(std::int64_t i) const override;
  void copy_sample(std::int64_t i, std::span<float> values) const override;
  DataError bad_label(std::int64_t i, std::int64_t network_classes) const override;

 private:
  Shape input_;
  std::int64_t samples_, classes_;
  RandomSequence labels_;
  std::vector<float> table_;  // of a power of two; windows go around its end
};

}  // namespace hadal
