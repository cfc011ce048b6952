#pragma once
// Who works on which rows, and who owns which parameters: pure functions.

#include <cstdint>
#include <vector>

#include "nn/network.h"
#include "plan/divide.h"

namespace hadal {

// Consecutive rows of the global batch, with the fixed pieces that define results under `reproducible`.
struct RowSpan {
  std::int64_t first = 0, count = 0;
  std::vector<std::int64_t> units;  // in rows, none empty; empty where results are free
};

// bounds[i] = floor(total i / parts), parts + 1 of them.
std::vector<std::int64_t> even_bounds(std::int64_t total, std::int64_t parts);

// Divides `rows` among devices. With shards > 0 each device's rows are whole shards, floor(rows v / shards) apart.
std::vector<RowSpan> partition_rows(std::int64_t rows, int devices, std::int64_t shards);

// Outputs first ... first + count - 1 of a layer (its weight's rows and its bias), in fixed pieces.
struct OwnerSpan {
  int device = 0;
  std::int64_t first = 0, count = 0;
  std::vector<std::int64_t> pieces;  // none empty
};

// Owners of each layer's parameters, by layer (empty where a layer has none), for each partition those of its outputs.
// A partition's outputs of a layer are cut in as many pieces as there are groups, or with fixed `shards` (not 0) in
// about so many of all outputs, whatever the division; its device in each group gets consecutive ones. A layer of few
// parameters goes to the group that owns least so far. Where partitions have the same outputs these have
// owners in the same groups, so that the same sums are formed of them.
std::vector<std::vector<OwnerSpan>> partition_parameters(const Network& network, const Division& division, int groups,
                                                         std::int64_t shards);

}  // namespace hadal
