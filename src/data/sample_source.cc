#include "data/sample_source.h"

#include <algorithm>

#include "data/dataset.h"
#include "data/image_source.h"
#include "data/shard_source.h"

namespace hadal {

DataOptions data_options(const JobSpec& job, const Shape& input, std::int64_t classes, Split split) {
  return {.input = input,
          .classes = classes,
          .seed = job.seed,
          .split = split,
          .buffer = job.data.buffer,
          .on_bad_sample = job.data.on_bad_sample};
}

void name_bad(std::vector<std::string>& named, const std::string& what) {
  constexpr std::size_t kMost = 10;
  if (named.size() < kMost && std::find(named.begin(), named.end(), what) == named.end()) named.push_back(what);
}

std::unique_ptr<SampleSource> open_data(const DataSource& source, const DataOptions& options) {
  if (image_spec(source) != nullptr) return open_images(source, options);
  if (is_streamed(source)) return open_shards(source, options);
  std::unique_ptr<Dataset> dataset = make_dataset(source, options.input, options.seed, options.split);
  if (options.classes > 0) validate(*dataset, options.classes);
  return dataset;
}

}  // namespace hadal
