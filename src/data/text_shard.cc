#include "data/text_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <string_view>

#include "base/file.h"
#include "base/thousands.h"

namespace hadal {

namespace {

DataError error_at(const std::string& file, std::uint64_t line, const LineError& error) {
  return DataError(fmt::format("{}:{}:{}: {}", file, line, error.column, error.message));
}

// Where a line begins.
struct LinePlace {
  std::uint64_t offset = 0, number = 1;  // numbers count from 1
};

// The lines of a file from a place on, without their ends. Memory is that of a piece, or of the longest line.
class LineReader {
 public:
  LineReader(const InputFile& file, const LinePlace& first, std::uint64_t end) : file_(file), next_(first), end_(end) {}

  // False at the end.
  bool next() {
    place_ = next_;
    std::size_t searched = 0;
    while (true) {
      const std::string_view rest = std::string_view(bytes_).substr(begin_);
      const std::size_t found = rest.find('\n', searched);
      const bool at_end = next_.offset + rest.size() >= end_;
      if (found != std::string_view::npos || at_end) {
        if (rest.empty()) return false;
        line_ = rest.substr(0, found);
        const std::size_t taken = std::min(rest.size(), line_.size() + 1);
        begin_ += taken;
        next_.offset += taken;
        ++next_.number;
        return true;
      }
      searched = rest.size();
      if (searched > kLongestLine) {
        throw error_at(file_.path(), place_.number,
                       {1, fmt::format("is longer than {} bytes", with_thousands(kLongestLine))});
      }
      fill();
    }
  }

  std::string_view line() const { return line_; }  // until the next call of next()
  const LinePlace& place() const { return place_; }

 private:
  void fill() {
    constexpr std::uint64_t kPiece = 1 << 20;
    bytes_.erase(0, begin_);
    begin_ = 0;
    const std::size_t have = bytes_.size();
    bytes_.resize(have + std::min(kPiece, end_ - next_.offset - have));
    file_.read(next_.offset + have, std::as_writable_bytes(std::span(bytes_)).subspan(have));
  }

  const InputFile& file_;
  LinePlace next_, place_;
  std::uint64_t end_;
  std::string bytes_;
  std::size_t begin_ = 0;  // of what is not taken yet
  std::string_view line_;
};

// A place for each block, and one at the end.
struct TextIndex {
  std::int64_t samples = 0;
  std::vector<LinePlace> blocks;
};

void refuse_binary(const InputFile& file) {
  std::array<char, 4> start{};
  file.read(0, std::as_writable_bytes(std::span(start)).first(std::min<std::uint64_t>(start.size(), file.size())));
  const std::string_view text(start.data(), start.size());
  if (text.starts_with("\x1f\x8b")) {
    throw DataError(file.path() + ": is compressed; unpack it first: gunzip " + file.path());
  }
}

// `seen` is told of each line of a sample.
TextIndex make_index(const InputFile& file, const LinePlace& first, std::int64_t block_samples,
                     const std::function<bool(std::string_view)>& is_sample,
                     const std::function<void(std::string_view, const LinePlace&)>& seen) {
  TextIndex index;
  LineReader reader(file, first, file.size());
  while (reader.next()) {
    if (!is_sample(reader.line())) continue;
    seen(reader.line(), reader.place());
    if (index.samples++ % block_samples == 0) index.blocks.push_back(reader.place());
  }
  if (index.samples == 0) throw DataError(file.path() + ": holds no samples");
  index.blocks.push_back({file.size(), 0});
  return index;
}

template <class Format>
class TextShard : public Shard {
 public:
  TextShard(std::string file, const Format& format, TextIndex index, std::int64_t block_samples)
      : Shard(index.samples, block_samples),
        file_(std::move(file)),
        format_(format),
        blocks_(std::move(index.blocks)) {}

  void read(std::int64_t block, std::int64_t classes, std::span<std::byte> frames, std::span<Row> rows,
            const OnBadRow& bad) const override {
    const LinePlace& first = blocks_[static_cast<std::size_t>(block)];
    const std::uint64_t end = blocks_[static_cast<std::size_t>(block) + 1].offset;
    const InputFile input = open();
    if (input.size() < end) {
      throw DataError(file_ + ": ends after " + with_thousands(input.size()) + " bytes, but had " +
                      with_thousands(end) + " when it was opened");
    }
    const std::size_t values = frames.size() / sizeof(float) / rows.size();
    LineReader reader(input, first, end);
    std::size_t row = 0;
    while (reader.next()) {
      if (!is_sample(format_, reader.line())) continue;
      if (row == rows.size()) throw changed();
      rows[row] = {.frame = static_cast<std::uint32_t>(row)};
      // A buffer that operator new made is aligned for any number.
      const std::span<float> sample(reinterpret_cast<float*>(frames.data()) + row * values, values);
      parse(reader, classes, sample, rows[row], bad);
      ++row;
    }
    if (row != rows.size()) throw changed();
  }

  std::vector<std::string> files() const override { return {file_}; }

 private:
  DataError changed() const { return DataError(file_ + ": has changed since it was opened"); }

  InputFile open() const {
    try {
      return InputFile(file_);
    } catch (const ConfigError& error) {
      throw DataError(error.what());
    }
  }

  void parse(const LineReader& reader, std::int64_t classes, std::span<float> sample, Row& row,
             const OnBadRow& bad) const {
    std::int64_t label = 0;
    std::optional<LineError> error = parse_line(format_, reader.line(), sample, label);
    if (!error && (label < 0 || (classes > 0 && label >= classes))) {
      error = {1, fmt::format("label {} is out of range: the network has {} classes", label, classes)};
    }
    if (error) {
      bad(row, error_at(file_, reader.place().number, *error));
    } else {
      row.label = static_cast<std::int32_t>(label);
    }
  }

  std::string file_;
  Format format_;
  std::vector<LinePlace> blocks_;
};

char delimiter_of(const CsvData& data) {
  switch (data.delimiter) {
    case CsvDelimiter::semicolon:
      return ';';
    case CsvDelimiter::tab:
      return '\t';
    case CsvDelimiter::comma:
      break;
  }
  return ',';
}

// The column, from 0. `names`: of the header, or empty.
std::size_t label_column(const CsvData& data, const std::string& file, const std::vector<CsvField>& names,
                         std::size_t columns) {
  if (data.label == "last") return columns - 1;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].text == data.label) return i;
  }
  std::size_t number = 0;
  const char* const end = data.label.data() + data.label.size();
  const auto parsed = std::from_chars(data.label.data(), end, number);
  const bool is_whole = parsed.ptr == end && parsed.ec == std::errc();
  if (is_whole && number >= 1 && number <= columns) return number - 1;
  if (is_whole) {
    throw ConfigError(data.where, fmt::format("label: {} has no column {}; it has {}", file, data.label, columns));
  }
  throw ConfigError(data.where, "label: " + file + " has no column named '" + data.label + "'" +
                                    (names.empty() ? ": its first line has no names" : ""));
}

// Columns are taken in their order, so that it must be one order.
void check_header(const CsvData& data, const std::string& file, const std::vector<CsvField>& fields,
                  std::optional<CsvHeaderLine>& header) {
  CsvHeaderLine own{file, {}};
  for (const CsvField& field : fields) own.names.emplace_back(field.text);
  if (!header) header = own;
  for (std::size_t i = 0; i < std::min(own.names.size(), header->names.size()); ++i) {
    if (own.names[i] == header->names[i]) continue;
    throw ConfigError(data.where,
                      fmt::format("column {} of {} is '{}', but '{}' in {}: columns are taken in their order, "
                                  "so all files need the same",
                                  i + 1, file, own.names[i], header->names[i], header->file));
  }
}

}  // namespace

std::unique_ptr<Shard> open_libsvm(const std::string& file, const LibsvmData& data, std::int64_t block_samples,
                                   LibsvmLabels& labels) {
  const InputFile input(file, data.where);
  refuse_binary(input);
  const LibsvmFormat format{data.first_index};
  TextIndex index = make_index(
      input, {}, block_samples, [&](std::string_view line) { return is_sample(format, line); },
      [&](std::string_view line, const LinePlace& place) {
        if (labels.minus_one && labels.other) return;
        const std::optional<std::int64_t> label = libsvm_label(line);
        if (!label || *label == 1) return;
        std::optional<LabelPlace>& first = *label == -1 ? labels.minus_one : labels.other;
        if (!first) first = {file, place.number, *label};
      });
  return std::make_unique<TextShard<LibsvmFormat>>(file, format, std::move(index), block_samples);
}

std::unique_ptr<Shard> open_csv(const std::string& file, const CsvData& data, std::int64_t values,
                                std::int64_t block_samples, std::optional<CsvHeaderLine>& header) {
  const InputFile input(file, data.where);
  refuse_binary(input);
  CsvFormat format{.delimiter = delimiter_of(data)};
  std::array<char, 3> mark{};  // that some programs put in front of UTF-8
  if (input.size() >= mark.size()) input.read(0, std::as_writable_bytes(std::span(mark)));
  LinePlace first{std::string_view(mark.data(), mark.size()) == "\xef\xbb\xbf" ? mark.size() : 0, 1};

  LineReader reader(input, first, input.size());
  do {
    if (!reader.next()) throw DataError(file + ": holds no samples");
  } while (!is_sample(format, reader.line()));
  std::vector<CsvField> fields;
  if (auto error = split_csv(reader.line(), format.delimiter, fields)) {
    throw error_at(file, reader.place().number, *error);
  }
  format.columns = fields.size();
  const bool has_header =
      data.header == CsvHeader::first_line ||
      (data.header == CsvHeader::automatic && !std::all_of(fields.begin(), fields.end(), is_number));
  if (format.columns != static_cast<std::size_t>(values) + 1) {
    throw DataError(fmt::format("{}:{}: has {} columns; the network's input has {} numbers, and the label is one more",
                                file, reader.place().number, format.columns, values));
  }
  if (has_header) {
    check_header(data, file, fields, header);
    first = {reader.place().offset + reader.line().size() + 1, reader.place().number + 1};
    first.offset = std::min(first.offset, input.size());
  } else {
    fields.clear();
  }
  format.label = label_column(data, file, fields, format.columns);
  TextIndex index = make_index(
      input, first, block_samples, [&](std::string_view line) { return is_sample(format, line); },
      [](std::string_view, const LinePlace&) {});
  return std::make_unique<TextShard<CsvFormat>>(file, format, std::move(index), block_samples);
}

}  // namespace hadal
