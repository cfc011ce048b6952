#pragma once
// Checkpoints: what a run needs to go on as if nothing had happened. Canonical tensors and logical position only, so
// that any number of devices reads what any other wrote (docs/formats.md).

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "optim/rule.h"
#include "train/model_file.h"

namespace hadal {

struct TrainPosition {
  std::int64_t step = 0;            // training steps taken
  std::int64_t epoch = 0;           // of the next batch
  std::int64_t batch_in_epoch = 0;  // of the next batch
  // Since the last line of metrics.jsonl:
  double loss_sum = 0;
  std::int64_t loss_rows = 0;
  Stall plateau, stopping;  // what a plateau rate and early stopping have seen of the test loss
  std::int64_t stalls = 0;  // how often the plateau rate has fallen
};

struct Checkpoint {
  TrainPosition position;
  std::string identity;  // of the job (spec/job.h)
  std::string data;      // what the training samples are (SampleSource::fingerprint())
  Values parameters;
  std::map<std::string, Values> states;  // by name (Engine::states()), by parameter
};

// Writes FOLDER/step-000000200.safetensors (write, fsync, rename; a CRC-32C over what it says) and removes all but the
// newest `keep`, those of later steps, which a run that went on from an earlier one left behind, and what a kill left
// half written. Throws StorageError; what was there before is then still there.
void save_checkpoint(const std::string& folder, const Network& network, const Checkpoint& checkpoint,
                     std::int64_t keep);

// Whether there is a file that may be one.
bool has_checkpoints(const std::string& folder);

// The newest checkpoint of `folder` that is intact. Damaged ones are passed over and told to `warn`. Throws ConfigError
// where the newest intact one is of another network.
std::optional<Checkpoint> load_newest_checkpoint(const std::string& folder, const Network& network,
                                                 const std::function<void(const std::string&)>& warn);

}  // namespace hadal
