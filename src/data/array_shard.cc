#include "data/array_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/file.h"
#include "base/thousands.h"
#include "data/npy_file.h"
#include "tensor/safetensors_header.h"

namespace hadal {

namespace {

// "a.npy", or "tensor 'labels' of a.safetensors".
std::string name_of(const StoredArray& array) {
  return array.name.empty() ? array.file : "tensor '" + array.name + "' of " + array.file;
}

// How an error about the array begins.
DataError wrong(const StoredArray& array, const std::string& what) {
  return DataError(array.file + ": " + (array.name.empty() ? "" : "tensor '" + array.name + "' ") + what);
}

std::string count_of(std::int64_t number) { return with_thousands(static_cast<std::uint64_t>(number)); }

// Of an array that was there when it was opened: one that is gone by now is bad data.
void read_bytes(const StoredArray& array, std::int64_t first, std::size_t row_bytes, std::span<std::byte> bytes) {
  try {
    InputFile(array.file).read(array.begin + static_cast<std::uint64_t>(first) * row_bytes, bytes);
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

// Whole numbers of an array, in pieces of bounded size.
class WholeReader {
 public:
  WholeReader(const StoredArray& array, std::int64_t first) : array_(array), next_(first) {}

  std::int64_t next() {
    if (at_ == count_) fill();
    return whole_at(array_.element, bytes_.data(), at_++);
  }

 private:
  void fill() {
    const std::size_t size = size_of(array_.element);
    const std::int64_t left = array_.shape[0] - next_;
    if (left <= 0) throw wrong(array_, "has changed since it was opened");
    count_ = std::min(bytes_.size() / size, static_cast<std::size_t>(left));
    read_bytes(array_, next_, size, std::span(bytes_).first(count_ * size));
    next_ += static_cast<std::int64_t>(count_);
    at_ = 0;
  }

  const StoredArray& array_;
  std::int64_t next_;
  std::size_t at_ = 0, count_ = 0;
  std::array<std::byte, 1 << 14> bytes_;
};

bool is_list(const Shape& shape) { return shape.size() == 1 || (shape.size() == 2 && shape[1] == 1); }

void check_arrays(const ArrayShardFiles& files, const FrameFormat& format) {
  const StoredArray& features = files.features;
  if (features.shape.size() < 2) {
    throw wrong(features, fmt::format("is {}: features have two dimensions or more, the first counts the samples",
                                      to_string(features.shape)));
  }
  if (features.shape[0] == 0) throw wrong(features, "holds no samples");
  const std::int64_t elements_of_one = elements(Shape(features.shape.begin() + 1, features.shape.end()));
  if (elements_of_one != format.elements) {
    const std::int64_t spliced = format.splice.left + 1 + format.splice.right;
    throw wrong(features, fmt::format("is {}: {} numbers a {}, but the network's input has {}{}",
                                      to_string(features.shape), count_of(elements_of_one),
                                      spliced > 1 ? "frame" : "sample", count_of(format.elements * spliced),
                                      spliced > 1 ? fmt::format(", {} frames of {}", spliced, format.elements) : ""));
  }
  if (features.element != format.element) {
    throw wrong(features, fmt::format("is of {}, but the shards before it of {}", to_string(features.element),
                                      to_string(format.element)));
  }
  const auto check_list = [](const StoredArray& array, const char* what) {
    if (!is_list(array.shape)) throw wrong(array, fmt::format("is {}: {} are [N]", to_string(array.shape), what));
    if (!is_whole(array.element)) {
      throw wrong(array, fmt::format("is of {}: {} are whole numbers", to_string(array.element), what));
    }
  };
  check_list(files.labels, "labels");
  if (files.labels.shape[0] != features.shape[0]) {
    throw wrong(files.labels, fmt::format("has {} labels for the {} samples of {}", count_of(files.labels.shape[0]),
                                          count_of(features.shape[0]), name_of(features)));
  }
  if (files.utterances) check_list(*files.utterances, "lengths of utterances");
}

class ArrayShard : public Shard {
 public:
  ArrayShard(ArrayShardFiles files, const FrameFormat& format, std::int64_t block_samples)
      : Shard(files.features.shape[0], block_samples), files_(std::move(files)), format_(format) {
    if (files_.utterances && is_spliced()) find_utterances(block_samples);
  }

  std::int64_t frames(std::int64_t block) const override {
    const auto [first, end] = range(block);
    return end - first;
  }

  void read(std::int64_t block, std::int64_t classes, std::span<std::byte> frames, std::span<Row> rows,
            const OnBadRow& bad) const override {
    const std::int64_t first_frame = range(block).first, first = first_of(block);
    read_bytes(files_.features, first_frame, format_.bytes(), frames);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i] = {.frame = static_cast<std::uint32_t>(first + static_cast<std::int64_t>(i) - first_frame)};
    }
    if (is_spliced()) splice(block, rows);
    read_labels(first, classes, rows, bad);
    check_frames(first_frame, frames, rows, bad);
  }

  std::vector<std::string> files() const override {
    std::vector<std::string> names{files_.features.file};
    if (files_.utterances) names.push_back(files_.utterances->file);
    names.push_back(files_.labels.file);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

 private:
  // Where a block begins among the utterances.
  struct Place {
    std::int64_t utterance = 0, first_frame = 0;  // the one of its first frame, and where that begins
  };

  bool is_spliced() const { return format_.splice.left + format_.splice.right > 0; }

  // The first frame that a block reads, and the end of them.
  std::pair<std::int64_t, std::int64_t> range(std::int64_t block) const {
    const std::int64_t first = first_of(block);
    return {std::max<std::int64_t>(0, first - format_.splice.left),
            std::min(samples(), first + rows(block) + format_.splice.right)};
  }

  void find_utterances(std::int64_t block_samples) {
    const StoredArray& array = *files_.utterances;
    WholeReader lengths(array, 0);
    std::int64_t frame = 0;
    for (std::int64_t u = 0; u < array.shape[0]; ++u) {
      const std::int64_t length = lengths.next();
      if (length < 1) {
        throw DataError(array.file, array.begin + static_cast<std::uint64_t>(u) * size_of(array.element),
                        fmt::format("utterance {} has {} frames; each has one or more", count_of(u), length));
      }
      const std::int64_t end = length > samples() - frame ? samples() + 1 : frame + length;
      if (end > samples()) break;
      while (static_cast<std::int64_t>(places_.size()) * block_samples < end) places_.push_back({u, frame});
      frame = end;
      if (u + 1 == array.shape[0] && frame == samples()) return;
    }
    throw wrong(array, fmt::format("its {} utterances do not have the {} frames of {} together",
                                   count_of(array.shape[0]), count_of(samples()), name_of(files_.features)));
  }

  std::int64_t next_length(WholeReader& lengths) const {
    const std::int64_t length = lengths.next();
    if (length < 1 || length > samples()) throw wrong(*files_.utterances, "has changed since it was opened");
    return length;
  }

  void splice(std::int64_t block, std::span<Row> rows) const {
    const std::int64_t first = first_of(block);
    std::optional<WholeReader> lengths;
    std::int64_t begin = 0, end = samples();  // of the utterance
    if (files_.utterances) {
      const Place& place = places_[static_cast<std::size_t>(block)];
      lengths.emplace(*files_.utterances, place.utterance);
      begin = place.first_frame;
      end = begin + next_length(*lengths);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t frame = first + static_cast<std::int64_t>(i);
      if (frame == end) {
        begin = end;
        end += next_length(*lengths);
      }
      rows[i].before = static_cast<std::uint8_t>(std::min(format_.splice.left, frame - begin));
      rows[i].after =
          static_cast<std::uint8_t>(std::min({format_.splice.right, end - 1 - frame, samples() - 1 - frame}));
    }
  }

  void read_labels(std::int64_t first, std::int64_t classes, std::span<Row> rows, const OnBadRow& bad) const {
    WholeReader labels(files_.labels, first);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t label = labels.next();
      if (label >= 0 && label < (classes > 0 ? classes : INT32_MAX)) {
        rows[i].label = static_cast<std::int32_t>(label);
        continue;
      }
      const std::int64_t sample = first + static_cast<std::int64_t>(i);
      bad(rows[i], DataError(files_.labels.file,
                             files_.labels.begin + static_cast<std::uint64_t>(sample) * size_of(files_.labels.element),
                             fmt::format("label {} of sample {} is out of range: the network has {} classes", label,
                                         count_of(sample), classes)));
    }
  }

  // Rows that have a frame with a number that is not finite are bad.
  void check_frames(std::int64_t first_frame, std::span<const std::byte> frames, std::span<Row> rows,
                    const OnBadRow& bad) const {
    const auto elements_of_one = static_cast<std::size_t>(format_.elements);
    const std::size_t count = frames.size() / size_of(format_.element);
    std::size_t at = 0;
    while ((at += first_not_finite(format_.element, frames.data() + at * size_of(format_.element), count - at)) <
           count) {
      const std::size_t frame = at / elements_of_one;
      const std::int64_t sample = first_frame + static_cast<std::int64_t>(frame);
      const std::uint64_t offset = files_.features.begin + static_cast<std::uint64_t>(first_frame) * format_.bytes() +
                                   at * size_of(format_.element);
      const DataError error(files_.features.file, offset,
                            fmt::format("number {} of {} {} is NaN or infinite",
                                        count_of(static_cast<std::int64_t>(at % elements_of_one)),
                                        is_spliced() ? "frame" : "sample", count_of(sample)));
      // Row i has frame i + rows[0].frame in its middle.
      const std::int64_t middle = static_cast<std::int64_t>(frame) - rows[0].frame;
      const std::int64_t last = std::min(middle + format_.splice.left, static_cast<std::int64_t>(rows.size()) - 1);
      for (std::int64_t i = std::max<std::int64_t>(0, middle - format_.splice.right); i <= last; ++i) {
        Row& row = rows[static_cast<std::size_t>(i)];
        if (row.frame <= frame + row.before && frame <= row.frame + row.after && !row.bad) bad(row, error);
      }
      at = (frame + 1) * elements_of_one;
    }
  }

  ArrayShardFiles files_;
  FrameFormat format_;
  std::vector<Place> places_;  // by block; empty without utterances
};

}  // namespace

StoredArray find_npy(const std::string& file, const Position& where) {
  const InputFile input(file, where);
  std::vector<std::byte> start(std::min<std::uint64_t>(kNpyHeaderLimit, input.size()));
  input.read(0, start);
  NpyHeader header = parse_npy_header(start, input.size(), file);
  return {.file = file, .name = {}, .begin = header.size, .element = header.element, .shape = std::move(header.shape)};
}

StoredArray find_tensor(const std::string& file, const std::string& name, const Position& where) {
  const InputFile input(file, where);
  std::uint64_t data_begin = 0;
  SafetensorsHeader header = read_safetensors_header(input, data_begin);
  for (SafetensorsEntry& entry : header.entries) {
    if (entry.name != name) continue;
    const std::optional<Element> element = element_of_safetensors(entry.type);
    if (!element) {
      throw DataError(
          file, data_begin + entry.begin,
          "tensor '" + name + "' is of type " + entry.type + "; whole numbers and floats of 1 to 8 bytes are read");
    }
    return {.file = file,
            .name = name,
            .begin = data_begin + entry.begin,
            .element = *element,
            .shape = std::move(entry.shape)};
  }
  std::string names;
  for (const SafetensorsEntry& entry : header.entries) names += (names.empty() ? "" : ", ") + entry.name;
  throw DataError(file + ": has no tensor '" + name + "'; it has " + (names.empty() ? "none" : names));
}

std::unique_ptr<Shard> make_array_shard(ArrayShardFiles files, const FrameFormat& format, std::int64_t block_samples) {
  check_arrays(files, format);
  return std::make_unique<ArrayShard>(std::move(files), format, block_samples);
}

}  // namespace hadal
