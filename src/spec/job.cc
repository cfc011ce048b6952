#include "spec/job.h"

#include <algorithm>

#include "spec/job_keys.h"
#include "spec/override.h"
#include "spec/scalar.h"
#include "spec/write_yaml.h"

namespace hadal {

namespace {

std::string divisors(std::int64_t number) {
  std::vector<std::string> words;
  for (std::int64_t n = 1; n <= number; ++n) {
    if (number % n == 0) words.push_back(std::to_string(n));
  }
  return join_or(words);
}

// What depends on more than one key.
void check_devices(JobSpec& job) {
  const auto devices = static_cast<std::int64_t>(job.parallel.devices.size());
  const std::string all = std::to_string(devices) + (devices == 1 ? " device" : " devices");
  if (job.parallel.groups && (job.parallel.automatic_split || !job.parallel.split_said)) {
    if (devices % *job.parallel.groups != 0) {
      throw ConfigError(job.parallel.where, "parallel.groups: " + std::to_string(*job.parallel.groups) +
                                                " groups cannot be made of " + all +
                                                "; use groups: " + divisors(devices));
    }
    job.parallel.split = devices / *job.parallel.groups;
    if (!job.parallel.split_said) job.parallel.split_where = job.parallel.where;
  }
  const std::int64_t split = job.parallel.split, groups = job.parallel.group_count();
  if (!job.parallel.groups && devices % split != 0) {
    throw ConfigError(job.parallel.split_where, "parallel.split: groups of " + std::to_string(split) +
                                                    " cannot be made of " + all + "; use split: " + divisors(devices));
  }
  if (groups * split != devices) {
    const std::string use = devices % split == 0    ? "groups: " + std::to_string(devices / split)
                            : devices % groups == 0 ? "split: " + std::to_string(devices / groups)
                                                    : "split: " + divisors(devices) + ", and no groups";
    throw ConfigError(job.parallel.where, "groups: " + std::to_string(groups) + " x split: " + std::to_string(split) +
                                              " must be the number of devices, " + std::to_string(devices) + "; use " +
                                              use);
  }
  const bool open = job.parallel.automatic_split && !job.parallel.groups;  // one group needs one sample
  if (!open && job.data.batch < groups) {
    throw ConfigError(job.data.batch_where, "data.batch " + std::to_string(job.data.batch) + " is smaller than the " +
                                                std::to_string(groups) + (split > 1 ? " groups" : " devices") +
                                                "; each needs a sample");
  }
}

// What devices that hold one model together cannot do, or not yet.
void check_split(const JobSpec& job) {
  if (job.parallel.split == 1) return;
  const auto refuse = [&](bool what, const std::string& why) {
    const std::string key = "parallel.split: " + std::to_string(job.parallel.split);
    if (what) throw ConfigError(job.parallel.split_where, key + " " + why);
  };
  refuse(job.reproducible && job.precision != Precision::fp32,
         "with reproducible is supported for precision: fp32 only; use split: 1, or reproducible: false");
  refuse(job.reproducible && job.parallel.split > job.reproducible->chunks,
         "is more than reproducible.chunks, the parts that results are made of then; use a smaller split, or more "
         "chunks (which is another result)");
  refuse(job.solver.rule.exchange != StateExchange::owner,
         "with adagrad's exchange: approximate or full is not supported; use exchange: owner");
}

void check_test_data(const JobSpec& job) {
  if (job.data.test) {
    const bool followed =
        std::holds_alternative<PlateauRate>(job.solver.rule.rate) || job.solver.early_stopping.patience > 0;
    if (followed && job.solver.test_every > 1) {
      throw ConfigError(job.solver.test_every_where,
                        "solver.test_every must be 1 where a plateau rate or solver.early_stopping follows the loss of "
                        "data.test from epoch to epoch");
    }
    return;
  }
  if (std::holds_alternative<PlateauRate>(job.solver.rule.rate)) {
    throw ConfigError(job.solver.rule.rate_where,
                      "a plateau rate follows the loss of data.test, which the job does not have");
  }
  if (job.solver.early_stopping.patience > 0) {
    throw ConfigError(job.solver.early_stopping.where,
                      "solver.early_stopping follows the loss of data.test, which the job does not have");
  }
}

void check_samples_per_step(const JobSpec& job) {
  constexpr std::int64_t kMost = 1 << 20;  // as of data.batch alone
  if (job.samples_per_step() <= kMost) return;
  throw ConfigError(job.solver.accumulate_where, "solver.accumulate: a step of " + std::to_string(job.data.batch) +
                                                     " x " + std::to_string(job.solver.accumulate) +
                                                     " samples is more than " + std::to_string(kMost));
}

// Sums of squares on each device are of what it alone sees.
void check_state_exchange(const JobSpec& job) {
  const RuleSpec& rule = job.solver.rule;
  if (rule.exchange == StateExchange::owner) return;
  const std::string key =
      std::string("solver.rule.adagrad.exchange: ") + (rule.exchange == StateExchange::full ? "full" : "approximate");
  const auto refuse = [&](bool what, const std::string& why) {
    if (what) throw ConfigError(rule.exchange_where, key + " " + why + "; use exchange: owner");
  };
  refuse(job.reproducible.has_value(), "depends on the number of devices, and the job is reproducible");
  refuse(job.solver.clip_norm.has_value(), "scales gradients before their norm is known: it cannot be clipped");
  refuse(job.precision == Precision::bf16, "needs precision: fp32");
  refuse(job.exchange.content == Content::factors,
         "scales gradients before they are sent: exchange.content cannot be factors");
}

// A batch in passes is normalised pass by pass, and how rows fall into passes depends on the devices.
void check_passes(const JobSpec& job) {
  if (job.solver.accumulate == 1 || !job.reproducible) return;
  for (const LayerSpec& layer : job.network.layers) {
    if (!std::holds_alternative<BatchNormOptions>(layer.options)) continue;
    throw ConfigError(job.solver.accumulate_where,
                      "solver.accumulate: " + std::to_string(job.solver.accumulate) +
                          " with reproducible: true, and '" + layer.name +
                          "' normalises each pass by itself: use accumulate: 1 and a larger batch");
  }
}

void check_bad_sample(const JobSpec& job) {
  if (job.data.on_bad_sample == BadSample::fail || is_streamed(job.data.train)) return;
  if (job.data.test && is_streamed(*job.data.test)) return;
  throw ConfigError(job.data.bad_sample_where,
                    "data.on_bad_sample skip is for sources that are streamed: npy, safetensors, libsvm, csv, "
                    "image_folder and tar; use fail");
}

void check_crops(const JobSpec& job) {
  const ImageSpec* image = image_spec(job.data.train);
  if (image == nullptr || image->crops == 1) return;
  throw ConfigError(image->where, "crops: " + std::to_string(image->crops) +
                                      " is for data.test, where probabilities are averaged over them; in training a "
                                      "sample is one crop: use crop: random");
}

// What is left to the next step must be known to be applied as it is.
void check_deferral(const JobSpec& job) {
  if (job.exchange.deferred_layers.value_or(0) == 0) return;
  const auto refuse = [&](bool what, const std::string& why) {
    const std::string key = "exchange.deferred_layers: " + std::to_string(*job.exchange.deferred_layers);
    if (what) throw ConfigError(job.exchange.deferred_where, key + " " + why + "; use 0 or auto");
  };
  refuse(job.solver.clip_norm.has_value(), "with solver.clip_norm: the norm is of all layers' gradients");
  refuse(job.solver.accumulate > 1, "with solver.accumulate: passes are exchanged at once");
}

}  // namespace

bool is_streamed(const DataSource& source) {
  return !std::holds_alternative<IdxData>(source) && !std::holds_alternative<SyntheticData>(source);
}

const ImageSpec* image_spec(const DataSource& source) {
  return std::visit(
      [](const auto& data) -> const ImageSpec* {
        if constexpr (requires { data.image; }) return &data.image;
        return nullptr;
      },
      source);
}

JobSpec unwritten_job(const std::string& file) {
  const Position unwritten{file, 0, 0};
  JobSpec job;
  job.data.batch_where = job.parallel.where = job.parallel.split_where = job.parallel.machine_where = unwritten;
  job.solver.accumulate_where = job.solver.rule.exchange_where = unwritten;
  job.memory.limit_where = unwritten;
  job.exchange.topology_where = job.exchange.content_where = job.exchange.deferred_where = unwritten;
  return job;
}

void check_job(JobSpec& job) {
  check_devices(job);
  check_split(job);
  check_test_data(job);
  check_samples_per_step(job);
  check_passes(job);
  check_state_exchange(job);
  check_bad_sample(job);
  check_deferral(job);
  check_crops(job);
}

JobSpec parse_job(const std::string& text, const std::string& file, const std::vector<Override>& overrides) {
  Value root = read_yaml(text, file);
  if (root.kind == Value::Kind::null)
    throw ConfigError({file, 0, 0}, "is empty; a job needs name, network, data, solver");
  if (std::ranges::find(root.entries, "lexicon", &Entry::key) != root.entries.end()) {
    throw ConfigError({file, 0, 0}, "is a recipe of speech, and no job: 'hadal speech train' trains it");
  }
  if (root.kind == Value::Kind::map) apply_overrides(root, overrides);
  JobSpec job = unwritten_job(file);
  read_map(root, "", job_table(), job);
  check_job(job);
  return job;
}

JobSpec load_job(const std::string& path, const std::vector<Override>& overrides) {
  return parse_job(read_text_file(path, "a job"), path, overrides);
}

std::string to_yaml(const JobSpec& job) { return write_yaml(write_map(job_table(), job)); }

std::string identity(const JobSpec& job) {
  Json map = write_map(job_table(), job);
  map.erase("parallel");
  map["exchange"].erase("topology");
  map["exchange"].erase("deferred_layers");
  for (Json& layer : map["network"]["layers"]) {
    for (Json& options : layer) options.erase("split");
  }
  map.erase("memory");
  return nlohmann::json(map).dump();  // keys in order of their names
}

}  // namespace hadal
