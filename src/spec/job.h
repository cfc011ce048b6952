#pragma once
// job.yaml as a value. docs/job.md is its reference.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nn/layer.h"
#include "optim/rule.h"
#include "spec/image_spec.h"

namespace hadal {

// Paths are as the user wrote them: relative to the working directory.
struct IdxData {
  std::string images, labels;
  Position where;
};

// Random samples of the network's input shape, labels in [0, classes).
struct SyntheticData {
  std::int64_t samples = 0, classes = 0;
};

// Frames of an utterance that are joined to one sample: those before it, itself, and those after it.
struct Splice {
  std::int64_t left = 0, right = 0;
};

// Streamed sources. A list holds paths, some of which may be patterns (data/file_list.h); `where` is the source's.

// File i of the features goes with file i of the labels, and with file i of the utterances where there are any.
struct NpyData {
  std::vector<std::string> features, labels, utterances;
  Splice splice;
  Position where;
};

// Names of tensors; no utterances: an empty name.
struct SafetensorsData {
  std::vector<std::string> files;
  std::string features = "features", labels = "labels", utterances;
  Splice splice;
  Position where;
};

struct LibsvmData {
  std::vector<std::string> files;
  std::int64_t first_index = 1;
  Position where;
};

enum class CsvHeader { automatic, first_line, none };
enum class CsvDelimiter { comma, semicolon, tab };

struct CsvData {
  std::vector<std::string> files;
  std::string label = "last";  // a column's name, its number from 1, or "last"
  CsvHeader header = CsvHeader::automatic;
  CsvDelimiter delimiter = CsvDelimiter::comma;
  Position where;
};

using DataSource =
    std::variant<IdxData, SyntheticData, NpyData, SafetensorsData, LibsvmData, CsvData, ImageFolderData, TarData>;

// Whether it is read from disk while it is used; else it is kept in memory.
bool is_streamed(const DataSource& source);

// How it makes samples of image files, where it holds such.
const ImageSpec* image_spec(const DataSource& source);

enum class SampleOrder { shuffled, sequential };
enum class BadSample { fail, skip };

struct DataSpec {
  DataSource train;
  std::optional<DataSource> test;
  std::int64_t batch = 0;
  Position batch_where;
  SampleOrder order = SampleOrder::shuffled;
  std::int64_t buffer = 262'144;  // samples of a streamed source that are shuffled together
  BadSample on_bad_sample = BadSample::fail;
  Position bad_sample_where;
};

// Where adagrad's sums of squares are.
enum class StateExchange {
  owner,        // with the owner of each parameter, from the whole batch's gradients
  approximate,  // on each device, from its own rows' gradients; averaged every so many steps
  full,         // the same, averaged after each step
};

struct RuleSpec {
  RateSchedule rate;
  Position rate_where;
  UpdateRule update;
  StateExchange exchange = StateExchange::owner;
  Position exchange_where;
  std::int64_t average_every = 10;  // steps; of approximate

  std::int64_t steps_between_averages() const { return exchange == StateExchange::full ? 1 : average_every; }
};

// The run ends after `patience` epochs whose test loss is no better than the best before.
struct EarlyStopping {
  std::int64_t patience = 0;  // 0: never
  double threshold = 0;
  Position where;
};

struct SolverSpec {
  std::int64_t epochs = 1;
  RuleSpec rule;
  WarmUp warm_up;
  EarlyStopping early_stopping;
  std::int64_t test_every = 1;  // epochs
  Position test_every_where;
  std::int64_t accumulate = 1;  // batches of a step
  Position accumulate_where;
  std::optional<double> clip_norm;
};

struct CheckpointSpec {
  std::int64_t every_steps = 1000;  // 0: none
  std::int64_t keep = 3;
};

// What was chosen where parallel.split is auto.
struct SplitChoice {
  std::int64_t split = 1;
  std::vector<std::string> whole;  // layers that are not divided since a step is shorter so
};

struct ParallelSpec {
  std::vector<std::string> devices{"cpu:0"};
  std::optional<std::int64_t> groups;   // absent: devices / split
  std::int64_t split = 1;               // devices of a group, which hold one model together
  bool split_said = false;              // else it follows from `groups` where these are given
  bool automatic_split = false;         // `split` is to be chosen; until then 1, or what follows from `groups`
  std::optional<SplitChoice> chosen;    // by an earlier process of the run; not in job.yaml
  std::optional<std::string> machine;   // file: device N of it is cpu:N or fake:N
  bool described = false;               // plan --machine: the devices are the machine's own, by name and memory
  std::optional<std::int64_t> threads;  // of each device: --threads, not in job.yaml
  Position where, split_where, machine_where;

  std::int64_t group_count() const { return groups.value_or(static_cast<std::int64_t>(devices.size()) / split); }
};

enum class Topology { automatic, shared, direct, line, tree, ring };
enum class Content { automatic, gradients, factors };

struct ExchangeSpec {
  Topology topology = Topology::automatic;
  Content content = Content::automatic;
  std::optional<std::int64_t> deferred_layers;  // none: what is predicted to be the fastest
  Position topology_where, content_where, deferred_where;
};

// The constants of the job that fix the order of sums.
struct ReproducibleSpec {
  std::int64_t shards = 12, chunks = 4;
};

enum class Recompute { automatic, never, always };

struct MemorySpec {
  std::optional<std::uint64_t> limit;  // bytes that a device may take
  Recompute recompute = Recompute::automatic;
  Position limit_where;
};

enum class BackendKind { automatic, cpu, reference };

enum class Precision { fp32, bf16 };

struct JobSpec {
  std::string name;
  std::uint64_t seed = 1;
  NetworkSpec network;
  DataSpec data;
  SolverSpec solver;
  CheckpointSpec checkpoint;
  ParallelSpec parallel;
  ExchangeSpec exchange;
  std::optional<ReproducibleSpec> reproducible;
  BackendKind backend = BackendKind::automatic;
  Precision precision = Precision::fp32;
  MemorySpec memory;

  // Of a step, of all devices together; the last step of an epoch may have fewer.
  std::int64_t samples_per_step() const { return data.batch * solver.accumulate; }
};

// One --set: "solver.epochs=3". The value is YAML.
struct Override {
  std::string key, value;
  std::string flag{};  // what the user typed where it was not --set: "--devices cpu:0"
};

// Splits "a.b=c". Throws ConfigError without a '='.
Override parse_override(const std::string& text);

// Reads job.yaml strictly: an unknown or repeated key, a wrong type, a number out of range throw ConfigError at its
// line and column, with a suggestion where one is near. What the language has and this version does not run yet
// is refused by name at its position. `file` names the text in errors.
JobSpec parse_job(const std::string& text, const std::string& file, const std::vector<Override>& overrides = {});
JobSpec load_job(const std::string& path, const std::vector<Override>& overrides = {});

// For other files that have some of job.yaml's keys: a job of which nothing is written yet, and the checks of what
// depends on more than one key, which throw ConfigError at the key, or at `file`, and finish what follows from others.
JobSpec unwritten_job(const std::string& file);
void check_job(JobSpec& job);

// The whole job with every default written out, as YAML that parse_job reads back to the same job.
std::string to_yaml(const JobSpec& job);

// What the result depends on: canonical JSON without devices, threads, groups, split (of layers too), topology. Equal
// texts: a checkpoint of one may be resumed by the other.
std::string identity(const JobSpec& job);

// The network alone, without what is said of its division, as JSON and back: the metadata of model.safetensors. Throws
// DataError naming `file`.
std::string network_to_json(const NetworkSpec& network);
NetworkSpec network_from_json(const std::string& json, const std::string& file);

}  // namespace hadal
