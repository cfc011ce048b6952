#include "plan/partition.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

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

namespace {

// What of a layer one part has is cut in as many pieces as there are groups; with fixed shards each unit of the outputs
// in its share of these.
std::vector<std::int64_t> bounds_of_pieces(const Division& division, int layer, int part, int groups,
                                           std::int64_t shards) {
  const std::int64_t outputs = division.computed(layer, part).count;
  if (shards == 0) return even_bounds(outputs, groups);
  const OutputUnits units = division.units(layer, part);
  if (units.empty()) return even_bounds(outputs, shards);
  HADAL_CHECK(std::accumulate(units.begin(), units.end(), std::int64_t{0}) == outputs);
  const std::int64_t of_unit = (shards + division.chunks() - 1) / division.chunks();
  std::vector<std::int64_t> bounds{0};
  for (const std::int64_t unit : units) {
    const std::int64_t first = bounds.back();
    for (const std::int64_t bound : even_bounds(unit, of_unit)) {
      if (first + bound > bounds.back()) bounds.push_back(first + bound);
    }
  }
  return bounds;
}

}  // namespace

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
                                                         std::int64_t shards) {
  std::vector<std::vector<OwnerSpan>> owners(network.layers.size());
  std::vector<std::int64_t> load(static_cast<std::size_t>(groups));
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    if (layer.weight < 0) continue;
    const Shape& weight = network.parameters[layer.weight].shape;
    const std::int64_t per_output = elements(weight) / weight[0] + 1;
    const auto lightest = static_cast<int>(std::min_element(load.begin(), load.end()) - load.begin());
    for (int part = 0; part < division.parts(); ++part) {
      const Channels outputs = division.computed(static_cast<int>(l), part);
      const auto bounds = bounds_of_pieces(division, static_cast<int>(l), part, groups, shards);
      const auto pieces = static_cast<std::int64_t>(bounds.size()) - 1;
      const auto give = [&](int group, std::int64_t begin, std::int64_t end) {
        const OwnerSpan span{group * division.parts() + part, outputs.first + bounds[begin],
                             bounds[end] - bounds[begin], pieces_between(bounds, begin, end)};
        if (span.count == 0) return;
        load[group] += span.count * per_output;
        owners[l].push_back(span);
      };
      if (groups == 1 || outputs.count * per_output < kWholeLayerElements) {
        give(lightest, 0, pieces);
      } else {
        const auto shares = even_bounds(pieces, groups);
        for (int g = 0; g < groups; ++g) give(g, shares[g], shares[g + 1]);
      }
    }
  }
  return owners;
}

}  // namespace hadal
