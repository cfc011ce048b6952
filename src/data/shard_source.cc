#include "data/shard_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/crc32c.h"
#include "data/array_shard.h"
#include "data/file_checksum.h"
#include "data/file_list.h"
#include "data/shard_stream.h"
#include "data/text_shard.h"

namespace hadal {

namespace {

constexpr std::int64_t kBlockBytes = 16 << 20, kWindowBytes = 1 << 30;  // as fp32
constexpr std::int64_t kSmallestBlock = 256, kLargestBlock = 65'536;

// Numbers of a stored frame: the network's input is so many of them.
FrameFormat format_of(const Shape& input, const Splice& splice, const Position& where) {
  const std::int64_t spliced = splice.left + 1 + splice.right, all = elements(input);
  if (all % spliced != 0) {
    throw ConfigError(where,
                      fmt::format("splice: the network's input, {}, is not {} frames of one size", all, spliced));
  }
  return {.element = Element::f32, .elements = all / spliced, .splice = splice};
}

// Shards that could be opened, and what was wrong with the others.
class Opening {
 public:
  Opening(const Shape& input, const Splice& splice, const Position& where, const DataOptions& options)
      : format_(format_of(input, splice, where)),
        options_(options),
        block_(block_sizes(options.buffer, format_.elements).block) {}

  std::int64_t block() const { return block_; }
  FrameFormat& format() { return format_; }
  bool is_first() const { return shards_.empty(); }

  void add(const std::function<std::unique_ptr<Shard>()>& open) {
    try {
      shards_.push_back(open());
    } catch (const DataError& error) {
      if (options_.on_bad_sample == BadSample::fail) throw;
      left_out_.add(error.what());
    }
  }

  std::unique_ptr<SampleSource> finish() {
    if (shards_.empty()) throw DataError(left_out_.named.at(0) + "; no shard is left");
    return std::make_unique<ShardSource>(std::move(shards_), format_, options_, std::move(left_out_));
  }

 private:
  FrameFormat format_;
  const DataOptions& options_;
  std::int64_t block_;
  std::vector<std::unique_ptr<Shard>> shards_;
  LeftOut left_out_;
};

std::unique_ptr<SampleSource> open_files(const NpyData& data, const DataOptions& options) {
  const std::vector<std::string> features = list_files(data.features, data.where),
                                 labels = list_files(data.labels, data.where),
                                 utterances = list_files(data.utterances, data.where);
  const auto check_count = [&](const char* what, std::size_t count) {
    if (count == features.size()) return;
    throw ConfigError(data.where,
                      fmt::format("there are {} files of features and {} of {}; file i of one goes with file "
                                  "i of the other",
                                  features.size(), count, what));
  };
  check_count("labels", labels.size());
  if (!data.utterances.empty()) check_count("utterances", utterances.size());
  Opening opening(options.input, data.splice, data.where, options);
  for (std::size_t i = 0; i < features.size(); ++i) {
    opening.add([&] {
      ArrayShardFiles files{find_npy(features[i], data.where), find_npy(labels[i], data.where), std::nullopt};
      if (!utterances.empty()) files.utterances = find_npy(utterances[i], data.where);
      if (opening.is_first()) opening.format().element = files.features.element;
      return make_array_shard(std::move(files), opening.format(), opening.block());
    });
  }
  return opening.finish();
}

std::unique_ptr<SampleSource> open_files(const SafetensorsData& data, const DataOptions& options) {
  Opening opening(options.input, data.splice, data.where, options);
  for (const std::string& file : list_files(data.files, data.where)) {
    opening.add([&] {
      ArrayShardFiles files{find_tensor(file, data.features, data.where), find_tensor(file, data.labels, data.where),
                            std::nullopt};
      if (!data.utterances.empty()) files.utterances = find_tensor(file, data.utterances, data.where);
      if (opening.is_first()) opening.format().element = files.features.element;
      return make_array_shard(std::move(files), opening.format(), opening.block());
    });
  }
  return opening.finish();
}

std::unique_ptr<SampleSource> open_files(const LibsvmData& data, const DataOptions& options) {
  Opening opening(options.input, {}, data.where, options);
  LibsvmLabels labels;
  for (const std::string& file : list_files(data.files, data.where)) {
    opening.add([&] { return open_libsvm(file, data, opening.block(), labels); });
  }
  if (labels.minus_one && labels.other) {
    throw DataError(fmt::format(
        "{}:{}: label {} stands beside label -1 of {}:{}; labels are all 0, 1, ... or all -1 "
        "and +1",
        labels.other->file, labels.other->line, labels.other->label, labels.minus_one->file, labels.minus_one->line));
  }
  return opening.finish();
}

std::unique_ptr<SampleSource> open_files(const CsvData& data, const DataOptions& options) {
  Opening opening(options.input, {}, data.where, options);
  std::optional<CsvHeaderLine> header;
  for (const std::string& file : list_files(data.files, data.where)) {
    opening.add([&] { return open_csv(file, data, opening.format().elements, opening.block(), header); });
  }
  return opening.finish();
}

}  // namespace

BlockSizes block_sizes(std::int64_t buffer, std::int64_t frame_elements) {
  const std::int64_t bytes = frame_elements * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t window = std::max<std::int64_t>(1, std::min(buffer, kWindowBytes / bytes));
  const std::int64_t most = std::min({kLargestBlock, window, std::max<std::int64_t>(1, kBlockBytes / bytes)});
  return {.block = std::min(most, std::max(kSmallestBlock, window / kBlocksOfWindow)), .window = window};
}

ShardSource::ShardSource(std::vector<std::unique_ptr<Shard>> shards, const FrameFormat& format,
                         const DataOptions& options, LeftOut left_out)
    : shards_(std::move(shards)),
      format_(format),
      options_(options),
      left_out_(std::move(left_out)),
      window_samples_(block_sizes(options.buffer, format.elements).window) {
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    size_ += shards_[s]->samples();
    for (std::int64_t b = 0; b < shards_[s]->blocks(); ++b) {
      blocks_.push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(b)});
    }
  }
}

std::unique_ptr<SampleStream> ShardSource::stream(const StreamOptions& options) const {
  return make_shard_stream(*this, options);
}

std::string ShardSource::fingerprint() const {
  std::uint32_t sum = 0;
  for (const auto& shard : shards_) {
    const std::int64_t samples = shard->samples();
    sum = crc32c(std::as_bytes(std::span(&samples, 1)), sum);
  }
  for (const Shard* shard : {shards_.front().get(), shards_.back().get()}) {
    for (const std::string& file : shard->files()) sum = checksum_of_ends(file, sum);
  }
  return fmt::format("{} samples in {} shards, checksum {:08x}", size_, shards_.size(), sum);
}

Skipped ShardSource::skipped() const {
  const std::lock_guard lock(mutex_);
  return {.samples = {skipped_samples_, named_.named}, .files = left_out_, .incomplete = {}};
}

void ShardSource::note_bad(const std::string& what) const {
  const std::lock_guard lock(mutex_);
  named_.name(what);
}

std::unique_ptr<SampleSource> open_shards(const DataSource& source, const DataOptions& options) {
  return std::visit(
      [&](const auto& data) -> std::unique_ptr<SampleSource> {
        if constexpr (requires { open_files(data, options); }) return open_files(data, options);
        throw std::logic_error("internal error: this source is not streamed");
      },
      source);
}

}  // namespace hadal
