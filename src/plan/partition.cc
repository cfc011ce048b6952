#include "plan/partition.h"

#include <algorithm>

namespace hadal {

namespace {

// Below this a range per device would be all latency.
constexpr std::int64_t kWholeLayerElements = 4096;

std::vector<std::int64_t> pieces_between(const std::vector<std::int64_t>& bounds, std::int64_t begin,
                                         std::int64_t end) {
  std::vector<std::int64_t> pieces;
  for (std::int64_t i = begin; i < end; ++i) {
    if (bounds[i + 1] > bounds[i]) pieces.push_back(bounds[i + 1] - bounds[i]);
  }
  return pieces;
}

}  // namespace

std::vector<std::int64_t> even_bounds(std::int64_t total, std::int64_t parts) {
  std::vector<std::int64_t> bounds(static_cast<std::size_t>(parts) + 1);
  for (std::int64_t i = 0; i <= parts; ++i) bounds[i] = total * i / parts;
  return bounds;
}

std::vector<RowSpan> partition_rows(std::int64_t rows, int devices, std::int64_t shards) {
  const std::int64_t parts = shards > 0 ? shards : devices;
  const auto bounds = even_bounds(rows, parts);
  const auto shares = even_bounds(parts, devices);
  std::vector<RowSpan> spans;
  for (int d = 0; d < devices; ++d) {
    RowSpan span{bounds[shares[d]], bounds[shares[d + 1]] - bounds[shares[d]], {}};
    if (shards > 0) span.units = pieces_between(bounds, shares[d], shares[d + 1]);
    spans.push_back(std::move(span));
  }
  return spans;
}

std::vector<std::vector<OwnerSpan>> partition_parameters(const Network& network, const Division& division, int groups,
                                                         std::int64_t chunks) {
  std::vector<std::vector<OwnerSpan>> owners(network.layers.size());
  std::vector<std::int64_t> load(static_cast<std::size_t>(groups));
  const auto shares = even_bounds(chunks, groups);
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    if (layer.weight < 0) continue;
    const Shape& weight = network.parameters[layer.weight].shape;
    const std::int64_t per_output = elements(weight) / weight[0] + 1;
    const auto lightest = static_cast<int>(std::min_element(load.begin(), load.end()) - load.begin());
    for (int part = 0; part < division.parts(); ++part) {
      const Channels outputs = division.computed(static_cast<int>(l), part);
      const auto bounds = even_bounds(outputs.count, chunks);
      const auto give = [&](int group, std::int64_t begin, std::int64_t end) {
        const OwnerSpan span{group * division.parts() + part, outputs.first + bounds[begin],
                             bounds[end] - bounds[begin], pieces_between(bounds, begin, end)};
        if (span.count == 0) return;
        load[group] += span.count * per_output;
        owners[l].push_back(span);
      };
      if (groups == 1 || outputs.count * per_output < kWholeLayerElements) {
        give(lightest, 0, chunks);
      } else {
        for (int g = 0; g < groups; ++g) give(g, shares[g], shares[g + 1]);
      }
    }
  }
  return owners;
}

}  // namespace hadal
