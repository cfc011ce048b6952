#pragma once
// Shards of text, a sample a line.

#include <memory>
#include <optional>

#include "data/shard.h"
#include "data/text_line.h"

namespace hadal {

// Longer lines are not read.
inline constexpr std::size_t kLongestLine = std::size_t{16} << 20;

// Where a label stands that says how labels are written.
struct LabelPlace {
  std::string file;
  std::uint64_t line = 0;
  std::int64_t label = 0;
};

// Of all files of a source.
struct LibsvmLabels {
  std::optional<LabelPlace> minus_one, other;  // the first -1; the first that is neither -1 nor 1
};

// The header of the first csv file of a source that has one.
struct CsvHeaderLine {
  std::string file;
  std::vector<std::string> names;
};

// Each reads its file once, counts the samples and keeps where each block begins. `values`: of a sample. Throw
// ConfigError (at data.where) where the file cannot be opened or its header is not that of the files before, DataError
// where it holds no samples or no text of this kind.
std::unique_ptr<Shard> open_libsvm(const std::string& file, const LibsvmData& data, std::int64_t block_samples,
                                   LibsvmLabels& labels);
std::unique_ptr<Shard> open_csv(const std::string& file, const CsvData& data, std::int64_t values,
                                std::int64_t block_samples, std::optional<CsvHeaderLine>& header);

}  // namespace hadal
