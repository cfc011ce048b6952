#pragma once
// Shards of arrays: .npy files, and tensors of safetensors files.

#include <memory>
#include <optional>

#include "data/shard.h"
#include "tensor/tensor.h"

namespace hadal {

// Where an array lies on disk, row-major.
struct StoredArray {
  std::string file, name;   // of a tensor in the file; empty where the file is the array
  std::uint64_t begin = 0;  // of its values
  Element element = Element::f32;
  Shape shape;
};

// Read from the headers alone. Throw ConfigError (at `where`) where the file cannot be opened, DataError where it is
// wrong.
StoredArray find_npy(const std::string& file, const Position& where);
StoredArray find_tensor(const std::string& file, const std::string& name, const Position& where);

// What makes up a shard: features [N, ...], labels [N] or [N, 1] of whole numbers, and the frames of each utterance.
struct ArrayShardFiles {
  StoredArray features, labels;
  std::optional<StoredArray> utterances;  // absent: all is one utterance
};

// Throws DataError where the arrays do not fit each other or the format's frames. Reads all utterances once, and keeps
// where each block begins among them.
std::unique_ptr<Shard> make_array_shard(ArrayShardFiles files, const FrameFormat& format, std::int64_t block_samples);

}  // namespace hadal
