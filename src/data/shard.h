#pragma once
// A part of a corpus on disk, read in blocks of consecutive samples.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/element.h"
#include "spec/job.h"

namespace hadal {

// What all shards of a corpus have in common.
struct FrameFormat {
  Element element = Element::f32;
  std::int64_t elements = 0;  // of a frame, as it is stored: of a sample without splicing
  Splice splice;

  std::size_t bytes() const { return static_cast<std::size_t>(elements) * size_of(element); }
};

// A sample of a block.
struct Row {
  std::uint32_t frame = 0;  // its place among the block's frames
  std::int32_t label = 0;
  std::uint8_t before = 0, after = 0;  // frames of its utterance that lie on either side, at most those of the splice
  bool bad = false;
};

// Told of each bad row of a block; may throw the error.
using OnBadRow = std::function<void(Row& row, const DataError& error)>;

// Immutable: any thread may call any function. No file stays open, so that there may be more shards than a process may
// open files.
class Shard {
 public:
  // At least one sample in all, and as many in a block (the last one may have fewer).
  Shard(std::int64_t samples, std::int64_t block_samples) : samples_(samples), block_samples_(block_samples) {}
  virtual ~Shard() = default;

  std::int64_t samples() const { return samples_; }
  std::int64_t blocks() const { return (samples_ - 1) / block_samples_ + 1; }
  std::int64_t rows(std::int64_t block) const { return std::min(block_samples_, samples_ - block * block_samples_); }

  // Frames that are read for a block: those of its rows, and those that are spliced to them.
  virtual std::int64_t frames(std::int64_t block) const { return rows(block); }

  // Reads a block: frames(block) frames, and rows(block) rows. A label is below `classes`, where that is not 0. Throws
  // DataError where none of it can be read.
  virtual void read(std::int64_t block, std::int64_t classes, std::span<std::byte> frames, std::span<Row> rows,
                    const OnBadRow& bad) const = 0;

  // Its files, that of the labels last.
  virtual std::vector<std::string> files() const = 0;

 protected:
  std::int64_t first_of(std::int64_t block) const { return block * block_samples_; }

 private:
  std::int64_t samples_, block_samples_;
};

}  // namespace hadal
