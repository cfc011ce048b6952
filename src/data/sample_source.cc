#include "data/sample_source.h"

#include <algorithm>

#include "base/thousands.h"
#include "data/dataset.h"
#include "data/image_source.h"
#include "data/shard_source.h"

namespace hadal {

DataOptions data_options(const JobSpec& job, const Shape& input, std::int64_t classes, Split split) {
  DataOptions options{.input = input,
                      .classes = classes,
                      .seed = job.seed,
                      .split = split,
                      .buffer = job.data.buffer,
                      .on_bad_sample = job.data.on_bad_sample};
  const auto* train = std::get_if<ImageFolderData>(&job.data.train);
  if (split == Split::test && train != nullptr && !train->list) options.class_folders = train->path;
  return options;
}

void LeftOut::add(const std::string& what) {
  ++count;
  name(what);
}

void LeftOut::name(const std::string& what) {
  constexpr std::size_t kMost = 10;
  if (named.size() < kMost && std::find(named.begin(), named.end(), what) == named.end()) named.push_back(what);
}

std::vector<std::string> lines_of_left_out(const Skipped& skipped) {
  const auto count = [](const LeftOut& list) { return with_thousands(static_cast<std::uint64_t>(list.count)); };
  std::vector<std::string> lines;
  for (const std::string& what : skipped.files.named) lines.push_back("a file is left out: " + what);
  if (skipped.files.count > static_cast<std::int64_t>(lines.size())) {
    lines.push_back("files left out in all: " + count(skipped.files));
  }
  const LeftOut& incomplete = skipped.incomplete;
  if (incomplete.count == 0) return lines;
  lines.push_back("left out of shards, which is no whole sample: " + count(incomplete) +
                  "; the first: " + incomplete.named[0]);
  for (std::size_t i = 1; i < incomplete.named.size(); ++i) lines.push_back("  also left out: " + incomplete.named[i]);
  return lines;
}

std::unique_ptr<SampleSource> open_data(const DataSource& source, const DataOptions& options) {
  if (image_spec(source) != nullptr) return open_images(source, options);
  if (is_streamed(source)) return open_shards(source, options);
  std::unique_ptr<Dataset> dataset = make_dataset(source, options.input, options.seed, options.split);
  if (options.classes > 0) validate(*dataset, options.classes);
  return dataset;
}

}  // namespace hadal
