#include "data/shard_stream.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/bounded_queue.h"
#include "base/elapsed.h"
#include "base/owned_thread.h"

namespace hadal {

namespace {

using Clock = std::chrono::steady_clock;

// Memory that grows without keeping, or clearing, what it holds. It is rarely too small at first, and a little too
// large when it grows: what a heap is given back in pieces of rising sizes, it does not use again.
template <class T>
class Room {
 public:
  // At first it is made for `usual` elements.
  std::span<T> get(std::size_t count, std::size_t usual) {
    if (count > capacity_) {
      capacity_ = std::max(usual, count + (capacity_ > 0 ? count / 8 : 0));
      memory_.reset();
      memory_ = std::make_unique_for_overwrite<T[]>(capacity_);
    }
    return {memory_.get(), count};
  }

 private:
  std::unique_ptr<T[]> memory_;
  std::size_t capacity_ = 0;
};

// Samples that are shuffled together.
struct Window {
  std::int64_t first = 0;                // of these samples to give, where a stream begins in the middle
  std::span<const std::byte> frames;     // of all blocks
  std::span<const Row> rows;             // Row::frame counts from the window's first
  std::span<const std::uint32_t> order;  // rows; one that stands for a bad sample has kReplaced set

  Room<std::byte> frame_room;
  Room<Row> row_room;
  Room<std::uint32_t> order_room;
};
constexpr std::uint32_t kReplaced = std::uint32_t{1} << 31;

// Blocks [begin, end) of an epoch's order.
struct WindowPlace {
  std::size_t begin = 0, end = 0;
  std::int64_t samples = 0;
};

class ShardStream : public SampleStream {
 public:
  ShardStream(const ShardSource& source, const StreamOptions& options)
      : source_(source),
        options_(options),
        sample_elements_(static_cast<std::size_t>(elements(source.sample_shape()))),
        usual_rows_(usual_rows(source, options.order)),
        block_order_(source.blocks().size()),
        free_(kWindows),
        ready_(kWindows),
        thread_([this] { read_all(); }) {}

  ~ShardStream() override { close(); }

  bool next(std::span<float> samples, std::span<std::int32_t> labels) override {
    std::int64_t replaced = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      while (window_ == nullptr || next_ == window_->order.size()) {
        if (!take_window()) return false;
      }
      const std::uint32_t place = window_->order[next_++];
      replaced += (place & kReplaced) != 0 ? 1 : 0;
      const Row& row = window_->rows[place & ~kReplaced];
      labels[i] = row.label;
      copy_sample(row, samples.subspan(i * sample_elements_, sample_elements_));
    }
    if (replaced > 0) source_.count_skipped(replaced);
    return true;
  }

  void close() override {
    free_.close();
    ready_.close();
  }

  std::vector<InputCounters> stages() const override {
    const std::lock_guard lock(mutex_);
    InputCounters counters = counters_;
    if (asked_ > 0) counters.queue_mean = static_cast<double>(queue_sum_) / static_cast<double>(asked_);
    return {counters};
  }

 private:
  static constexpr std::size_t kWindows = 2;

  // Samples of a window, at most.
  static std::size_t usual_rows(const ShardSource& source, SampleOrder order) {
    const std::int64_t most = order == SampleOrder::sequential
                                  ? block_sizes(source.options().buffer, source.format().elements).block
                                  : source.window_samples();
    return static_cast<std::size_t>(std::min(most, source.size()));
  }

  // The frame between those around it, of which the first and the last are repeated at an utterance's ends.
  void copy_sample(const Row& row, std::span<float> values) const {
    const FrameFormat& format = source_.format();
    const auto size = static_cast<std::size_t>(format.elements);
    const std::size_t missing_before = static_cast<std::size_t>(format.splice.left) - row.before;
    const std::size_t missing_after = static_cast<std::size_t>(format.splice.right) - row.after;
    const std::size_t there = std::size_t{row.before} + 1 + row.after;
    const std::byte* const first = window_->frames.data() + (row.frame - row.before) * format.bytes();
    const std::span<float> middle = values.subspan(missing_before * size, there * size);
    to_floats(format.element, first, middle);
    for (std::size_t i = 0; i < missing_before; ++i) {
      std::copy_n(middle.begin(), size, values.begin() + static_cast<std::ptrdiff_t>(i * size));
    }
    for (std::size_t i = 0; i < missing_after; ++i) {
      std::copy_n(middle.end() - static_cast<std::ptrdiff_t>(size), size,
                  values.end() - static_cast<std::ptrdiff_t>((i + 1) * size));
    }
  }

  // Gives the window back and waits for the next. False where the stream was closed.
  bool take_window() {
    if (window_ != nullptr) static_cast<void>(free_.push(std::exchange(window_, nullptr), Clock::time_point::min()));
    const auto begin = Clock::now();
    const std::size_t queued = ready_.size();
    const QueueResult result = ready_.pop(window_);
    {
      const std::lock_guard lock(mutex_);
      counters_.consumer_wait_seconds += seconds_since(begin);
      queue_sum_ += queued;
      ++asked_;
    }
    if (result != QueueResult::done) {
      window_ = nullptr;
      thread_.join();  // rethrows what it met
      return false;
    }
    next_ = static_cast<std::size_t>(window_->first);
    return true;
  }

  // --- The thread ---

  void read_all() {
    const struct CloseAtEnd {
      BoundedQueue<Window*>& queue;
      ~CloseAtEnd() { queue.close(); }
    } close_at_end{ready_};
    for (Window& window : windows_) static_cast<void>(free_.push(&window));
    std::int64_t skip = options_.first_sample;
    for (std::int64_t number = options_.first_epoch; number < options_.epochs; ++number) {
      const Epoch epoch{.seed = options_.seed, .number = number, .order = options_.order};
      order_samples(epoch, block_order_);
      place_windows();
      for (std::size_t w = 0; w < windows_of_epoch_.size(); ++w) {
        if (skip >= windows_of_epoch_[w].samples) {
          skip -= windows_of_epoch_[w].samples;
          continue;
        }
        if (!read_window(epoch, w, std::exchange(skip, 0))) return;
      }
    }
  }

  // Joins blocks in their order, as many as fit.
  void place_windows() {
    const std::int64_t most = options_.order == SampleOrder::sequential ? 0 : source_.window_samples();
    windows_of_epoch_.clear();
    for (std::size_t i = 0; i < block_order_.size(); ++i) {
      const std::int64_t rows = rows_of(block_order_[i]);
      if (windows_of_epoch_.empty() || windows_of_epoch_.back().samples + rows > most) {
        windows_of_epoch_.push_back({.begin = i});
      }
      windows_of_epoch_.back().end = i + 1;
      windows_of_epoch_.back().samples += rows;
    }
  }

  std::int64_t rows_of(std::uint32_t block) const {
    const ShardSource::BlockPlace& place = source_.blocks()[block];
    return source_.shard(place).rows(place.block);
  }

  // False where the stream is being closed.
  bool read_window(const Epoch& epoch, std::size_t number, std::int64_t first) {
    const auto begin = Clock::now();
    Window* window = nullptr;
    if (free_.pop(window) != QueueResult::done) return false;
    const auto free_at = Clock::now();
    // Where no sample of it is good, those of the next window that has one stand for them.
    bool any_good = false;
    for (std::size_t i = 0; i < windows_of_epoch_.size() && !any_good; ++i) {
      fill(*window, epoch, (number + i) % windows_of_epoch_.size());
      any_good = replace_bad(*window, windows_of_epoch_[number].samples, i > 0);
    }
    if (!any_good) throw DataError(source_.skipped().samples.named.at(0) + "; no sample of the data can be read");
    window->first = first;
    {
      const std::lock_guard lock(mutex_);
      counters_.wait_seconds += std::chrono::duration<double>(free_at - begin).count();
      counters_.busy_seconds += seconds_since(free_at);
    }
    return ready_.push(window) == QueueResult::done;
  }

  void fill(Window& window, const Epoch& epoch, std::size_t number) {
    const WindowPlace& place = windows_of_epoch_[number];
    std::size_t frames = 0, rows = 0;
    for (std::size_t i = place.begin; i < place.end; ++i) {
      const ShardSource::BlockPlace& block = source_.blocks()[block_order_[i]];
      frames += static_cast<std::size_t>(source_.shard(block).frames(block.block));
    }
    const std::size_t frame_bytes = source_.format().bytes();
    const std::size_t spliced = static_cast<std::size_t>(source_.format().splice.left + source_.format().splice.right);
    const std::size_t usual_frames = usual_rows_ + 2 * static_cast<std::size_t>(kBlocksOfWindow) * spliced;
    const std::span<std::byte> frame_room = window.frame_room.get(frames * frame_bytes, usual_frames * frame_bytes);
    const std::span<Row> row_room = window.row_room.get(static_cast<std::size_t>(place.samples), usual_rows_);
    frames = 0;
    for (std::size_t i = place.begin; i < place.end; ++i) {
      const ShardSource::BlockPlace& block = source_.blocks()[block_order_[i]];
      const Shard& shard = source_.shard(block);
      const auto block_frames = static_cast<std::size_t>(shard.frames(block.block));
      const std::span<Row> block_rows = row_room.subspan(rows, static_cast<std::size_t>(shard.rows(block.block)));
      read_block(shard, block.block, frame_room.subspan(frames * frame_bytes, block_frames * frame_bytes), block_rows);
      for (Row& row : block_rows) row.frame += static_cast<std::uint32_t>(frames);
      frames += block_frames;
      rows += block_rows.size();
    }
    window.frames = frame_room;
    window.rows = row_room;
    const std::span<std::uint32_t> order = window.order_room.get(rows, usual_rows_);
    order_window(epoch, static_cast<std::uint32_t>(number), order);
    window.order = order;
  }

  void read_block(const Shard& shard, std::int64_t block, std::span<std::byte> frames, std::span<Row> rows) const {
    const bool fails = source_.options().on_bad_sample == BadSample::fail;
    try {
      shard.read(block, source_.options().classes, frames, rows, [&](Row& row, const DataError& error) {
        if (fails) throw error;
        row.bad = true;
        source_.note_bad(error.what());
      });
    } catch (const DataError& error) {
      if (fails) throw;
      source_.note_bad(error.what());
      for (Row& row : rows) row = {.bad = true};
    }
  }

  // Puts the next good sample of the order, around its end, for each bad one; `others`: the window stands for another
  // of `count` samples. False where none is good.
  static bool replace_bad(Window& window, std::int64_t count, bool others) {
    const std::span<std::uint32_t> order = window.order_room.get(window.order.size(), 0);
    const auto is_good = [&](std::uint32_t row) { return !window.rows[row].bad; };
    const auto first_good = std::find_if(order.begin(), order.end(), is_good);
    if (first_good == order.end()) return false;
    std::uint32_t good = *first_good;
    for (std::size_t i = order.size(); i-- > 0;) {
      if (is_good(order[i])) {
        good = order[i];
      } else {
        order[i] = good | kReplaced;
      }
    }
    if (!others) return true;
    const std::vector<std::uint32_t> goods(order.begin(), order.end());
    const std::span<std::uint32_t> borrowed = window.order_room.get(static_cast<std::size_t>(count), 0);
    for (std::size_t i = 0; i < borrowed.size(); ++i) borrowed[i] = goods[i % goods.size()] | kReplaced;
    window.order = borrowed;
    return true;
  }

  const ShardSource& source_;
  const StreamOptions options_;
  const std::size_t sample_elements_, usual_rows_;

  Window* window_ = nullptr;  // in use, and its next sample
  std::size_t next_ = 0;

  std::array<Window, kWindows> windows_;
  std::vector<std::uint32_t> block_order_;     // of the epoch that is being read,
  std::vector<WindowPlace> windows_of_epoch_;  // and its windows
  BoundedQueue<Window*> free_, ready_;

  mutable std::mutex mutex_;  // of what follows
  InputCounters counters_{.name = "read"};
  std::int64_t asked_ = 0;  // windows that queue_sum_ counts
  std::uint64_t queue_sum_ = 0;

  OwnedThread thread_;  // begins when all else is there
};

}  // namespace

std::unique_ptr<SampleStream> make_shard_stream(const ShardSource& source, const StreamOptions& options) {
  return std::make_unique<ShardStream>(source, options);
}

}  // namespace hadal
