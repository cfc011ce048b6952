#include "data/batch_loader.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/elapsed.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAlignment = 64;

std::size_t bytes_of(std::int64_t rows, std::int64_t sample_elements) {
  const std::size_t bytes = static_cast<std::size_t>(elements({rows, sample_elements + 1})) * sizeof(float);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

static_assert(sizeof(float) == sizeof(std::int32_t));

BatchLoaderOptions checked(const BatchLoaderOptions& options) {
  HADAL_CHECK(options.batch > 0 && options.buffers > 0);
  HADAL_CHECK(options.first_epoch >= 0 && options.first_batch >= 0);
  return options;
}

}  // namespace

StagedBatch::StagedBatch(StagedBatch&& other) noexcept
    : loader_(std::exchange(other.loader_, nullptr)),
      data_(other.data_),
      rows_(other.rows_),
      sample_elements_(other.sample_elements_),
      epoch_(other.epoch_),
      first_(other.first_) {}

StagedBatch::~StagedBatch() {
  if (loader_ != nullptr) loader_->give_back(data_);
}

std::span<const float> StagedBatch::samples() const {
  return {reinterpret_cast<const float*>(data_), static_cast<std::size_t>(rows_ * sample_elements_)};
}

std::span<const std::int32_t> StagedBatch::labels() const {
  return {reinterpret_cast<const std::int32_t*>(data_ + labels_offset()), static_cast<std::size_t>(rows_)};
}

void BatchLoader::Free::operator()(std::byte* memory) const {
  ::operator delete (memory, std::align_val_t{kAlignment});
}

BatchLoader::BatchLoader(const SampleSource& source, const BatchLoaderOptions& options)
    : options_(checked(options)),
      size_(source.size()),
      sample_elements_(elements(source.sample_shape())),
      batches_per_epoch_((size_ - 1) / options.batch + 1),
      buffer_bytes_(bytes_of(std::min(options.batch, size_), sample_elements_)),
      memory_(static_cast<std::byte*>(
          ::operator new (static_cast<std::size_t>(options.buffers) * buffer_bytes_, std::align_val_t{kAlignment}))),
      free_(static_cast<std::size_t>(options.buffers)),
      ready_(static_cast<std::size_t>(options.buffers)),
      stream_(source.stream({.seed = options.seed,
                             .order = options.order,
                             .epochs = options.epochs,
                             .first_epoch = options.first_epoch + options.first_batch / batches_per_epoch_,
                             .first_sample = options.first_batch % batches_per_epoch_ * options.batch,
                             .augment = options.augment})),
      thread_([this] { stage_all(); }) {}

BatchLoader::~BatchLoader() {
  free_.close();
  ready_.close();
  stream_->close();
}

void BatchLoader::stage_all() {
  const CloseAtEnd end(ready_);
  for (int i = 0; i < options_.buffers; ++i) {
    give_back(memory_.get() + static_cast<std::size_t>(i) * buffer_bytes_);
  }
  std::int64_t batch = options_.first_batch % batches_per_epoch_;
  for (std::int64_t epoch = options_.first_epoch + options_.first_batch / batches_per_epoch_; epoch < options_.epochs;
       ++epoch, batch = 0) {
    for (; batch < batches_per_epoch_; ++batch) {
      if (!stage(epoch, batch)) return;
    }
  }
}

// False when the loader is being destroyed.
bool BatchLoader::stage(std::int64_t epoch, std::int64_t batch) {
  Staged staged{.epoch = epoch, .first = batch * options_.batch};
  const auto begin = Clock::now();
  if (free_.pop(staged.data) != QueueResult::done) return false;
  const auto free_at = Clock::now();

  staged.rows = std::min(options_.batch, size_ - staged.first);
  const std::size_t values = static_cast<std::size_t>(staged.rows * sample_elements_);
  float* const samples = reinterpret_cast<float*>(staged.data);
  auto* const labels = reinterpret_cast<std::int32_t*>(staged.data + values * sizeof(float));
  if (!stream_->next({samples, values}, {labels, static_cast<std::size_t>(staged.rows)})) return false;
  {
    const std::lock_guard lock(mutex_);
    counters_.samples += staged.rows;
    counters_.wait_seconds += std::chrono::duration<double>(free_at - begin).count();
    counters_.busy_seconds += seconds_since(free_at);
  }
  return ready_.push(staged) == QueueResult::done;
}

void BatchLoader::give_back(std::byte* buffer) {
  // There is room for every buffer; a queue that is closed needs none back.
  static_cast<void>(free_.push(buffer, Clock::time_point::min()));
}

std::optional<StagedBatch> BatchLoader::next() {
  const auto begin = Clock::now();
  const std::size_t queued = ready_.size();
  Staged staged;
  const QueueResult result = ready_.pop(staged, begin + options_.timeout);
  if (result == QueueResult::closed) {
    thread_.join();
    return std::nullopt;
  }
  const double seconds = seconds_since(begin);
  {
    const std::lock_guard lock(mutex_);
    counters_.consumer_wait_seconds += seconds;
    queue_sum_ += queued;
    ++asked_;
  }
  if (result == QueueResult::deadline) {
    throw DeviceError("input: no batch came for " + std::to_string(options_.timeout.count()) +
                      " ms; the thread that reads the data hangs, or all of its " + std::to_string(options_.buffers) +
                      " buffers are held");
  }
  StagedBatch batch;
  batch.loader_ = this;
  batch.data_ = staged.data;
  batch.rows_ = staged.rows;
  batch.sample_elements_ = sample_elements_;
  batch.epoch_ = staged.epoch;
  batch.first_ = staged.first;
  return batch;
}

InputCounters BatchLoader::counters() const {
  const std::lock_guard lock(mutex_);
  InputCounters counters = counters_;
  if (asked_ > 0) counters.queue_mean = static_cast<double>(queue_sum_) / static_cast<double>(asked_);
  if (const auto stages = stream_->stages(); stages.size() == 1) {
    counters.starved_seconds = std::min(counters.busy_seconds, stages[0].consumer_wait_seconds);
    counters.busy_seconds -= counters.starved_seconds;
  }
  return counters;
}

std::vector<InputCounters> BatchLoader::stages() const {
  std::vector<InputCounters> stages = stream_->stages();
  InputCounters own = counters();
  if (stages.size() <= 1) {
    stages.push_back(std::move(own));
  } else {  // its threads make whole batches, and the loader's own waits for them
    stages.back().wait_seconds = own.wait_seconds;
    stages.back().queue_mean = own.queue_mean;
  }
  return stages;
}

}  // namespace hadal
