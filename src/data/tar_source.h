#pragma once

#include <memory>

#include "data/encoded.h"

namespace hadal {

// Samples of WebDataset's shards (data/tar_sample.h). Their headers are read once, when it is opened, and what is kept
// does not grow with the samples but with the blocks: samples of one shard that follow each other, as many as a 64th of
// data.buffer, or 4 MiB of the archive. An epoch's order: blocks are shuffled; blocks that follow each other are joined
// into windows, of at most data.buffer samples and 256 MiB; the samples of a window are shuffled together. A reader's
// own thread reads a window ahead of the one in use.
//
// Throws ConfigError where a shard cannot be opened, DataError where it is damaged, unless options.on_bad_sample leaves
// out what is.
std::unique_ptr<EncodedSource> open_tar(const TarData& data, const DataOptions& options);

}  // namespace hadal
