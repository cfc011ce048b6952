#pragma once
// Where samples come from: memory (dataset.h) or shards on disk (shard_source.h). A loader reads either through a
// stream, which gives the samples of epochs in their order.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/sample_order.h"
#include "spec/job.h"
#include "tensor/tensor.h"

namespace hadal {

// What summary.json says of a stage of the input.
struct InputCounters {
  std::string name = "decode";
  int threads = 1;                   // of its own, at the moment
  std::int64_t samples = 0;          // that have passed it
  double busy_seconds = 0;           // of all its threads: making batches; of the stage "read": windows
  double wait_seconds = 0;           // waiting for a free buffer
  double starved_seconds = 0;        // waiting for the stage before
  double queue_mean = 0;             // batches (windows, groups) that lay ready when one was asked for
  double consumer_wait_seconds = 0;  // in next()
};

struct StreamOptions {
  std::uint64_t seed = 0;
  SampleOrder order = SampleOrder::shuffled;
  std::int64_t epochs = 1;        // the last one is epochs - 1
  std::int64_t first_epoch = 0;   // where to begin:
  std::int64_t first_sample = 0;  // below the source's size
  bool augment = true;            // samples of images are changed at random, as the job says; else as for evaluation
  int threads = 0;                // of each stage; 0: as many as there is work for
};

// One reading of a source, for one thread. Ends before its source.
class SampleStream {
 public:
  virtual ~SampleStream() = default;

  // The next samples of the order, as many as there are labels: fp32, row-major, one after the other. Samples of one
  // call are of one epoch, and there are as many left. False where close() has ended it. Throws DataError.
  [[nodiscard]] virtual bool next(std::span<float> samples, std::span<std::int32_t> labels) = 0;

  // Ends a next() that waits, and all later ones. Any thread may call it.
  virtual void close() {}

  // Of its own threads, in the order in which a sample passes them. Any thread may call it.
  virtual std::vector<InputCounters> stages() const { return {}; }
};

// Things that are left out: how many, and what was wrong with the first ten of them, each once, by file and place.
struct LeftOut {
  std::int64_t count = 0;
  std::vector<std::string> named;

  void add(const std::string& what);
  void name(const std::string& what);  // and no more
};

// What `on_bad_sample: skip` has left out.
struct Skipped {
  LeftOut samples;     // replaced by others in what the streams gave
  LeftOut files;       // from their beginning or a damaged place on, when the source was opened
  LeftOut incomplete;  // what has no image or no label in a shard of images, when it was opened
};

// What is told of it when the source was opened.
std::vector<std::string> lines_of_left_out(const Skipped& skipped);

// Any thread may call any function.
class SampleSource {
 public:
  virtual ~SampleSource() = default;

  virtual const Shape& sample_shape() const = 0;  // the network's input
  virtual std::int64_t size() const = 0;          // samples of an epoch, >= 1

  virtual std::unique_ptr<SampleStream> stream(const StreamOptions& options) const = 0;

  // What a resumed run must find again, in words: "60000 samples, labels 5d2ba5a4". Throws DataError.
  virtual std::string fingerprint() const = 0;

  virtual Skipped skipped() const { return {}; }

  // Samples in a row, of size() and in each stream that is sequential, that are crops of one: their probabilities are
  // averaged.
  virtual std::int64_t crops() const { return 1; }
};

enum class Split { train, test };

struct DataOptions {
  Shape input;               // the network's
  std::int64_t classes = 0;  // labels are below it; 0: whatever they are
  std::uint64_t seed = 0;    // of synthetic data, which differ between splits
  Split split = Split::train;
  std::int64_t buffer = 0;  // of a streamed source
  BadSample on_bad_sample = BadSample::fail;
  std::optional<std::string> class_folders;  // folder whose folders number the classes of another image_folder
};

// Of a job's data; `classes` may be 0.
DataOptions data_options(const JobSpec& job, const Shape& input, std::int64_t classes, Split split);

// Opens the data that a job names. Throws ConfigError where a file cannot be opened, DataError where what it holds is
// wrong or does not fit the input. Labels are checked at once where they are in memory, else when they are read.
std::unique_ptr<SampleSource> open_data(const DataSource& source, const DataOptions& options);

}  // namespace hadal
