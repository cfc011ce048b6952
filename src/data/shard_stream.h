#pragma once
// One reading of a ShardSource.

#include <memory>

#include "data/shard_source.h"

namespace hadal {

std::unique_ptr<SampleStream> make_shard_stream(const ShardSource& source, const StreamOptions& options);

}  // namespace hadal
