#pragma once
// Batches staged ahead of the training loop by a thread of their own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bounded_queue.h"
#include "base/owned_thread.h"
#include "data/sample_source.h"

namespace hadal {

struct BatchLoaderOptions {
  std::int64_t batch = 0;  // samples; the last batch of an epoch may be shorter
  std::uint64_t seed = 0;
  SampleOrder order = SampleOrder::shuffled;
  std::int64_t epochs = 1;                     // the job's: the last one is epochs - 1
  std::int64_t first_epoch = 0;                // where to begin, for a resumed job;
  std::int64_t first_batch = 0;                // past the epoch's last batch means in the next epoch
  bool augment = true;                         // as StreamOptions has it
  int buffers = 4;                             // staged batches and the one in use
  std::chrono::milliseconds timeout{120'000};  // of next()
};

class BatchLoader;

// A batch in host memory, as one piece: rows * sample elements fp32, then rows int32 labels. Gives its buffer back when
// it ends; ends before its loader.
class StagedBatch {
 public:
  StagedBatch(StagedBatch&& other) noexcept;
  StagedBatch& operator=(StagedBatch&&) = delete;
  ~StagedBatch();

  const std::byte* data() const { return data_; }
  std::size_t labels_offset() const { return static_cast<std::size_t>(rows_ * sample_elements_) * sizeof(float); }
  std::span<const float> samples() const;
  std::span<const std::int32_t> labels() const;

  std::int64_t rows() const { return rows_; }
  std::int64_t epoch() const { return epoch_; }
  std::int64_t first() const { return first_; }  // place of its first sample in the epoch's order

 private:
  friend class BatchLoader;
  StagedBatch() = default;

  BatchLoader* loader_ = nullptr;
  std::byte* data_ = nullptr;
  std::int64_t rows_ = 0, sample_elements_ = 0, epoch_ = 0, first_ = 0;
};

// Reads the batches of a job in their order, which depends on the options alone. One thread calls next() and ends
// batches; counters() and stages() may be called by any. All buffers are made in the constructor, and staging a batch
// allocates nothing (the thread that reads a streamed source may, where it opens files). The source outlives the
// loader.
class BatchLoader {
 public:
  BatchLoader(const SampleSource& source, const BatchLoaderOptions& options);
  ~BatchLoader();  // may be before the last batch

  // The next batch, or nothing after the last one. Rethrows what the source threw, after the batches before it. Throws
  // DeviceError where none came within the timeout: also when the caller holds every buffer.
  [[nodiscard]] std::optional<StagedBatch> next();

  std::int64_t batches_per_epoch() const { return batches_per_epoch_; }
  InputCounters counters() const;
  std::vector<InputCounters> stages() const;  // in the order in which a sample passes them; the last is counters()

 private:
  friend class StagedBatch;
  struct Staged {
    std::byte* data = nullptr;
    std::int64_t rows = 0, epoch = 0, first = 0;
  };
  struct Free {
    void operator()(std::byte* memory) const;
  };

  void stage_all();
  bool stage(std::int64_t epoch, std::int64_t batch);
  void give_back(std::byte* buffer);

  const BatchLoaderOptions options_;
  const std::int64_t size_, sample_elements_, batches_per_epoch_;
  const std::size_t buffer_bytes_;
  std::unique_ptr<std::byte, Free> memory_;
  BoundedQueue<std::byte*> free_;
  BoundedQueue<Staged> ready_;

  mutable std::mutex mutex_;  // of what follows
  InputCounters counters_;
  std::int64_t asked_ = 0;  // calls of next() that queue_sum_ counts
  std::uint64_t queue_sum_ = 0;

  const std::unique_ptr<SampleStream> stream_;
  OwnedThread thread_;  // begins when all else is there
};

}  // namespace hadal
