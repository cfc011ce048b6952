#pragma once
// A corpus on disk that is streamed: npy, safetensors, libsvm and csv.
//
// Its order in an epoch: the corpus is divided into blocks, consecutive samples of one shard; blocks are shuffled;
// blocks that follow each other are joined into windows of bounded size; the samples of a window are shuffled together.
// Sequential: the order of the files, a block a window. So the order follows from (seed, epoch) alone, and a reader
// begins anywhere in it without reading what comes before.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/sample_source.h"
#include "data/shard.h"

namespace hadal {

// Sizes that follow from the job alone.
struct BlockSizes {
  std::int64_t block = 0, window = 0;  // samples
};
inline constexpr std::int64_t kBlocksOfWindow = 64;
BlockSizes block_sizes(std::int64_t buffer, std::int64_t frame_elements);

class ShardSource : public SampleSource {
 public:
  // `shards` is not empty; `left_out` says which were damaged.
  ShardSource(std::vector<std::unique_ptr<Shard>> shards, const FrameFormat& format, const DataOptions& options,
              LeftOut left_out);

  const Shape& sample_shape() const override { return options_.input; }
  std::int64_t size() const override { return size_; }

  // Its thread reads a window ahead of the one in use: memory holds two of them, unspliced, and no more.
  std::unique_ptr<SampleStream> stream(const StreamOptions& options) const override;

  // With a CRC-32C of the number of samples of each shard, and of the size and the first and last 64 KiB of each file
  // of the first and the last shard.
  std::string fingerprint() const override;

  Skipped skipped() const override;

  // What follows is for the stream.
  struct BlockPlace {
    std::uint32_t shard = 0, block = 0;
  };
  const FrameFormat& format() const { return format_; }
  const DataOptions& options() const { return options_; }
  std::int64_t window_samples() const { return window_samples_; }
  const std::vector<BlockPlace>& blocks() const { return blocks_; }  // in the order of the files
  const Shard& shard(const BlockPlace& place) const { return *shards_[place.shard]; }
  void count_skipped(std::int64_t samples) const { skipped_samples_ += samples; }
  void note_bad(const std::string& what) const;

 private:
  const std::vector<std::unique_ptr<Shard>> shards_;
  const FrameFormat format_;
  const DataOptions options_;
  const LeftOut left_out_;
  const std::int64_t window_samples_;
  std::int64_t size_ = 0;
  std::vector<BlockPlace> blocks_;

  mutable std::atomic<std::int64_t> skipped_samples_{0};
  mutable std::mutex mutex_;  // of what follows
  mutable LeftOut named_;
};

// `source` is streamed. Throws ConfigError where a file cannot be opened, DataError where one is damaged and
// options.on_bad_sample does not leave it out, or none is left.
std::unique_ptr<SampleSource> open_shards(const DataSource& source, const DataOptions& options);

}  // namespace hadal
