#pragma once

#include <memory>

#include "data/encoded.h"

namespace hadal {

// Samples of WebDataset's shards (data/tar_sample.h). Their headers are read once, when it is opened, and what is kept
// does not grow with the samples but with the blocks: samples of one shard that follow each other, at most a 64th of
// data.buffer (which counts as 32 where it is less) and 4 MiB of the archive, or one that is larger. An epoch's order:
// blocks are shuffled; blocks that follow each other are joined into windows, of at most data.buffer samples and 256
// MiB; the samples of a window are shuffled together. In the files' order a window ends with the block that makes it 16
// samples. Where fewer than 16 would be left for the last window of an epoch, they are of the one before, if 256 MiB
// hold them. A reader's own thread reads a window ahead of the one in use.
//
// Throws ConfigError where a shard cannot be opened, DataError where it is damaged, or a sample has no image or label
// or lies in more than 256 MiB with the other files of its name; unless options.on_bad_sample leaves out what is so.
std::unique_ptr<EncodedSource> open_tar(const TarData& data, const DataOptions& options);

}  // namespace hadal
