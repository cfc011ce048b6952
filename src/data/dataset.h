#pragma once
// Labelled samples in memory, which are read by number.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "data/sample_source.h"

namespace hadal {

// Immutable: any thread may call any function.
class Dataset : public SampleSource {
 public:
  virtual std::int64_t classes() const = 0;  // every label is in [0, classes)

  // 0 <= i < size().
  virtual std::int32_t label(std::int64_t i) const = 0;

  // Writes sample i as fp32, row-major: elements(sample_shape()) values. Pixels of 8 bits become x / 255.
  virtual void copy_sample(std::int64_t i, std::span<float> values) const = 0;

  // The error that says where label(i) stands and that a network of so many classes cannot have it.
  virtual DataError bad_label(std::int64_t i, std::int64_t network_classes) const = 0;

  // Each epoch's order is that of order_samples().
  std::unique_ptr<SampleStream> stream(const StreamOptions& options) const override;

  // With a CRC-32C of all labels.
  std::string fingerprint() const override;
};

// Opens data that is kept in memory (not is_streamed()), for a network of this input. Random data follow from `seed`,
// and differ between splits. Throws ConfigError where a file cannot be opened, DataError where what it holds is wrong
// or does not fit the input. Labels are checked by validate() alone.
std::unique_ptr<Dataset> make_dataset(const DataSource& source, const Shape& input, std::uint64_t seed, Split split);

// Throws DataError for the first label that a network of so many classes cannot have.
void validate(const Dataset& dataset, std::int64_t classes);

}  // namespace hadal
