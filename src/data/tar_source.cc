#include "data/tar_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/bounded_queue.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/owned_thread.h"
#include "base/thousands.h"
#include "data/file_checksum.h"
#include "data/file_list.h"
#include "data/image_decoder.h"
#include "data/sample_order.h"
#include "data/tar_sample.h"

namespace hadal {

namespace {

constexpr std::uint64_t kTarBlockBytes = 4 << 20, kTarWindowBytes = 256 << 20;
constexpr std::int64_t kBlocksOfWindow = 64;
constexpr std::int64_t kFewestOfWindow = 2 * kGroupSamples;  // so that a bad sample has others beside it

// Samples of a shard that follow each other: bytes [begin, end) of its archive.
struct Block {
  std::uint64_t begin = 0, end = 0;
  std::uint32_t shard = 0, first = 0, samples = 0;  // first: its number among all samples
};

class TarSource : public EncodedSource {
 public:
  TarSource(const TarData& data, const DataOptions& options)
      : options_(options), files_(list_files(data.files, data.where)) {
    for (std::uint32_t shard = 0; shard < files_.size(); ++shard) scan(shard, data.where);
    if (blocks_.empty()) {
      throw DataError(left_out_.files.count == 0 ? files_[0] + ": holds no images"
                                                 : left_out_.files.named[0] + "; no sample is left");
    }
  }

  std::int64_t size() const override { return size_; }
  std::unique_ptr<EncodedReader> reader(const StreamOptions& options) const override;
  bool reads_apart() const override { return false; }
  Skipped left_out() const override { return left_out_; }

  std::string fingerprint() const override {
    std::uint32_t sum = checksum_;
    for (const Block& block : blocks_) {
      sum = crc32c(std::as_bytes(std::span(&block.samples, 1)), sum);
      sum = crc32c(std::as_bytes(std::span(&block.end, 1)), sum);
    }
    return fmt::format("{} images in {} shards, checksum {:08x}", size_, files_.size(), sum);
  }

  const DataOptions& options() const { return options_; }
  std::int64_t window_samples() const { return std::max(options_.buffer, kFewestOfWindow); }
  const std::vector<Block>& blocks() const { return blocks_; }
  const std::string& file(const Block& block) const { return files_[block.shard]; }

 private:
  // Where the samples of a shard lie.
  void scan(std::uint32_t shard, const Position& where) {
    const InputFile file(files_[shard], where);
    TarSamples samples(files_[shard], file.size(),
                       [&](std::uint64_t offset, std::span<std::byte> bytes) { file.read(offset, bytes); });
    const std::int64_t most = std::max<std::int64_t>(1, window_samples() / kBlocksOfWindow);
    Block block{.shard = shard};
    const auto end_block = [&] {
      if (block.samples > 0) blocks_.push_back(block);
      block = {.shard = shard};
    };
    const std::int64_t before = size_;
    try {
      checksum_ = checksum_of_ends(files_[shard], checksum_);
      while (const auto sample =
                 samples.next([&](const DataError& error) { leave_out(left_out_.incomplete, error.what()); })) {
        const std::uint64_t end = std::min(sample->end, file.size());
        if (end - sample->begin > kTarWindowBytes) {
          leave_out(left_out_.incomplete,
                    fmt::format("{}: {} lies in {} bytes of files of its name; at most {} are read", files_[shard],
                                sample->name, with_thousands(end - sample->begin), with_thousands(kTarWindowBytes)));
          continue;
        }
        if (block.samples == most || (block.samples > 0 && end - block.begin > kTarBlockBytes)) end_block();
        if (block.samples == 0) {
          block.begin = sample->begin;
          block.first = static_cast<std::uint32_t>(size_);
        }
        block.end = end;
        ++block.samples;
        ++size_;
      }
      if (size_ == before) throw DataError(files_[shard] + ": holds no images");
    } catch (const DataError& error) {
      if (options_.on_bad_sample == BadSample::fail) throw;
      left_out_.files.add(std::string(error.what()) + (size_ > before ? "; what comes before it is kept" : ""));
    }
    end_block();
    if (size_ > UINT32_MAX) throw DataError("there are more than 2^32 samples");
  }

  void leave_out(LeftOut& list, const std::string& what) const {
    if (options_.on_bad_sample == BadSample::fail) throw DataError(what);
    list.add(what);
  }

  const DataOptions options_;
  const std::vector<std::string> files_;
  Skipped left_out_;
  std::uint32_t checksum_ = 0;  // of the files' ends
  std::vector<Block> blocks_;
  std::int64_t size_ = 0;
};

// Samples that are shuffled together.
struct TarWindow {
  std::int64_t epoch = 0;
  std::size_t first = 0;               // of them to give, where a stream begins in its middle
  std::vector<EncodedSample> samples;  // their bytes lie in `memory`
  std::vector<std::uint32_t> order;
  std::vector<std::byte> memory;  // grows only
};

class TarStream : public EncodedReader {
 public:
  TarStream(const TarSource& source, const StreamOptions& options)
      : source_(source),
        options_(options),
        block_order_(source.blocks().size()),
        free_(kWindows),
        ready_(kWindows),
        thread_([this] { read_all(); }) {}

  ~TarStream() override { close(); }

  bool claim(EncodedGroup& group) override {
    if (window_ == nullptr || next_ == window_->order.size()) {
      if (!take_window()) return false;
    }
    group.epoch = window_->epoch;
    group.skip = std::exchange(skip_, 0);
    group.samples.resize(group_size(window_->order.size() - next_));
    std::size_t used = 0;
    for (EncodedSample& sample : group.samples) {
      const EncodedSample& from = window_->samples[window_->order[next_++]];
      sample = from;
      const auto bytes = std::span(window_->memory).subspan(from.offset, from.size);
      std::copy(bytes.begin(), bytes.end(), group.append(sample, used, from.size).begin());
      used += from.size;
    }
    return true;
  }

  void close() override {
    free_.close();
    ready_.close();
  }

 private:
  static constexpr std::size_t kWindows = 2;

  bool take_window() {
    using Deadline = BoundedQueue<TarWindow*>::Deadline;
    if (window_ != nullptr) static_cast<void>(free_.push(std::exchange(window_, nullptr), Deadline::min()));
    if (ready_.pop(window_) != QueueResult::done) {
      window_ = nullptr;
      thread_.join();  // rethrows what it met
      return false;
    }
    next_ = group_begin(window_->first, window_->order.size());
    skip_ = window_->first - next_;
    return true;
  }

  // --- The thread ---

  void read_all() {
    const CloseAtEnd end_of_queue(ready_);
    for (TarWindow& window : windows_) static_cast<void>(free_.push(&window));
    auto skip = static_cast<std::size_t>(options_.first_sample);
    for (std::int64_t number = options_.first_epoch; number < options_.epochs; ++number) {
      const Epoch epoch{.seed = options_.seed, .number = number, .order = options_.order};
      order_samples(epoch, block_order_);
      std::size_t end = 0;
      auto left = static_cast<std::size_t>(source_.size());
      for (std::uint32_t w = 0; end < block_order_.size(); ++w) {
        const std::size_t begin = end;
        std::size_t samples = 0;
        end = end_of_window(begin, left, samples);
        left -= samples;
        if (skip >= samples) {
          skip -= samples;
          continue;
        }
        TarWindow* window = nullptr;
        if (free_.pop(window) != QueueResult::done) return;
        fill(*window, begin, end);
        window->epoch = number;
        window->first = std::exchange(skip, 0);
        window->order.resize(samples);
        order_window(epoch, w, window->order);
        if (ready_.push(window) != QueueResult::done) return;
      }
    }
  }

  const Block& block(std::size_t place) const { return source_.blocks()[block_order_[place]]; }

  // Joins blocks in their order, as many as fit; in the files' order no more than a bad sample needs beside it. `left`:
  // samples of the epoch from there on, of which no few are left alone.
  std::size_t end_of_window(std::size_t begin, std::size_t left, std::size_t& samples) const {
    const auto most = static_cast<std::size_t>(source_.window_samples());
    std::uint64_t bytes = 0;
    std::size_t end = begin;
    for (; end < block_order_.size(); ++end) {
      bytes += block(end).end - block(end).begin;
      const bool is_full =
          options_.order == SampleOrder::sequential ? samples >= kGroupSamples : samples + block(end).samples > most;
      const bool is_end = left - samples < kGroupSamples;
      if (end > begin && (bytes > kTarWindowBytes || (is_full && !is_end))) break;
      samples += block(end).samples;
    }
    return end;
  }

  void fill(TarWindow& window, std::size_t begin, std::size_t end) const {
    std::size_t all = 0, used = 0;
    for (std::size_t place = begin; place < end; ++place) all += block(place).end - block(place).begin;
    if (window.memory.size() < all) {
      window.memory = std::vector<std::byte>();  // not both at once
      window.memory.resize(all);
    }
    window.samples.clear();
    for (std::size_t place = begin; place < end; ++place) {
      const Block& from = block(place);
      const std::size_t bytes = from.end - from.begin, first = window.samples.size();
      try {
        const std::span<std::byte> memory = std::span(window.memory).subspan(used, bytes);
        read_block(from, memory, used, window.samples);
      } catch (const DataError& error) {
        window.samples.resize(first + from.samples);
        for (std::size_t i = first; i < window.samples.size(); ++i) window.samples[i] = {.error = error.what()};
      }
      for (std::size_t i = first; i < window.samples.size(); ++i) {
        window.samples[i].number = static_cast<std::uint32_t>(from.first + i - first);
      }
      used += bytes;
    }
  }

  // `place`: of the block's memory in the window's.
  void read_block(const Block& from, std::span<std::byte> memory, std::size_t place,
                  std::vector<EncodedSample>& samples) const {
    const std::string& name = source_.file(from);
    try {
      InputFile(name).read(from.begin, memory);
    } catch (const ConfigError& error) {  // it was there when the source was opened
      throw DataError(error.what());
    }
    TarSamples reader(
        name, from.end,
        [&](std::uint64_t offset, std::span<std::byte> bytes) {
          std::memcpy(bytes.data(), memory.data() + (offset - from.begin), bytes.size());
        },
        from.begin);
    std::uint32_t count = 0;
    while (const auto sample = reader.next([](const DataError&) {})) {
      if (++count > from.samples) break;
      const std::string_view label(reinterpret_cast<const char*>(memory.data()) + (sample->label_offset - from.begin),
                                   sample->label_size);
      samples.push_back({.name = name + ": " + sample->name,
                         .offset = place + (sample->image_offset - from.begin),
                         .size = sample->image_size,
                         .error = ""});
      check(samples.back(), label);
    }
    if (count != from.samples) throw DataError(name, from.begin, "the archive was changed while it is read");
  }

  void check(EncodedSample& sample, std::string_view text) const {
    const std::int64_t classes = source_.options().classes;
    const std::optional<std::int32_t> label = parse_label(text);
    if (!label) {
      sample.error = sample.name + ": its label is not a whole number from 0 on";
    } else if (classes > 0 && *label >= classes) {
      sample.error = fmt::format("{}: its label is {}, but the network has {} classes, whose labels count from 0",
                                 sample.name, *label, classes);
    } else if (sample.size > kImageFileLimit) {
      sample.error = sample.name + ": is larger than an image may be";
    }
    sample.label = label.value_or(0);
  }

  const TarSource& source_;
  const StreamOptions options_;

  TarWindow* window_ = nullptr;  // in use, and its next sample
  std::size_t next_ = 0, skip_ = 0;

  std::array<TarWindow, kWindows> windows_;
  std::vector<std::uint32_t> block_order_;  // of the epoch that is being read
  BoundedQueue<TarWindow*> free_, ready_;
  OwnedThread thread_;  // begins when all else is there
};

std::unique_ptr<EncodedReader> TarSource::reader(const StreamOptions& options) const {
  return std::make_unique<TarStream>(*this, options);
}

}  // namespace

std::unique_ptr<EncodedSource> open_tar(const TarData& data, const DataOptions& options) {
  return std::make_unique<TarSource>(data, options);
}

}  // namespace hadal
