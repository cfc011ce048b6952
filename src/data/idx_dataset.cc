#include "data/idx_dataset.h"

#include <algorithm>

#include "base/thousands.h"

namespace hadal {

namespace {

Shape without_leading_ones(Shape shape) {
  while (!shape.empty() && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

}  // namespace

IdxDataset::IdxDataset(const IdxData& data, const Shape& input)
    : input_(input),
      images_(data.images, IdxContent::images, data.where),
      labels_(data.labels, IdxContent::labels, data.where) {
  const Shape sample(images_.header().shape.begin() + 1, images_.header().shape.end());
  if (without_leading_ones(sample) != without_leading_ones(input)) {
    throw DataError(data.images + ": its samples are " + to_string(sample) + ", but the network's input is " +
                    to_string(input));
  }
  if (images_.size() != labels_.size()) {
    throw DataError(data.labels + ": has " + with_thousands(static_cast<std::uint64_t>(labels_.size())) +
                    " labels for the " + with_thousands(static_cast<std::uint64_t>(images_.size())) + " images of " +
                    data.images);
  }
  for (std::int64_t i = 0; i < size(); ++i) classes_ = std::max<std::int64_t>(classes_, label(i) + 1);
}

void IdxDataset::copy_sample(std::int64_t i, std::span<float> values) const {
  const std::span<const std::uint8_t> pixels = images_.sample(i);
  HADAL_CHECK(values.size() == pixels.size());
  for (std::size_t k = 0; k < pixels.size(); ++k) values[k] = static_cast<float>(pixels[k]) / 255.0f;
}

DataError IdxDataset::bad_label(std::int64_t i, std::int64_t network_classes) const {
  return DataError(labels_.path(), labels_.header().size + static_cast<std::uint64_t>(i),
                   "label " + std::to_string(label(i)) + " of sample " + with_thousands(static_cast<std::uint64_t>(i)) +
                       " is out of range: the network has " + std::to_string(network_classes) + " classes");
}

}  // namespace hadal
