#include "spec/job.h"

#include "spec/job_keys.h"
#include "spec/override.h"
#include "spec/write_yaml.h"

namespace hadal {

namespace {

// What depends on more than one key.
void check_devices(const JobSpec& job) {
  const auto devices = static_cast<std::int64_t>(job.parallel.devices.size());
  const std::int64_t groups = job.parallel.groups.value_or(devices / job.parallel.split);
  if (groups * job.parallel.split != devices) {
    throw ConfigError(job.parallel.where, "groups: " + std::to_string(groups) +
                                              " x split: " + std::to_string(job.parallel.split) +
                                              " must be the number of devices, " + std::to_string(devices));
  }
  if (job.data.batch < devices) {
    throw ConfigError(job.data.batch_where, "data.batch " + std::to_string(job.data.batch) + " is smaller than the " +
                                                std::to_string(devices) + " devices; each needs a sample");
  }
}

void check_test_data(const JobSpec& job) {
  if (job.data.test) return;
  if (std::holds_alternative<PlateauRate>(job.solver.rule.rate)) {
    throw ConfigError(job.solver.rule.rate_where,
                      "a plateau rate follows the loss of data.test, which the job does not have");
  }
  if (job.solver.early_stopping.patience > 0) {
    throw ConfigError(job.solver.early_stopping.where,
                      "solver.early_stopping follows the loss of data.test, which the job does not have");
  }
}

void check_bad_sample(const JobSpec& job) {
  if (job.data.on_bad_sample == BadSample::fail || is_streamed(job.data.train)) return;
  if (job.data.test && is_streamed(*job.data.test)) return;
  throw ConfigError(job.data.bad_sample_where,
                    "data.on_bad_sample skip is for sources that are streamed: npy, safetensors, libsvm and csv; use "
                    "fail");
}

}  // namespace

bool is_streamed(const DataSource& source) {
  return !std::holds_alternative<IdxData>(source) && !std::holds_alternative<SyntheticData>(source);
}

JobSpec parse_job(const std::string& text, const std::string& file, const std::vector<Override>& overrides) {
  Value root = read_yaml(text, file);
  if (root.kind == Value::Kind::null)
    throw ConfigError({file, 0, 0}, "is empty; a job needs name, network, data, solver");
  if (root.kind == Value::Kind::map) apply_overrides(root, overrides);
  const Position unwritten{file, 0, 0};
  JobSpec job;
  job.data.batch_where = job.parallel.where = job.parallel.machine_where = unwritten;
  job.exchange.topology_where = job.exchange.content_where = unwritten;
  read_map(root, "", job_table(), job);
  check_devices(job);
  check_test_data(job);
  check_bad_sample(job);
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
  return nlohmann::json(map).dump();  // keys in order of their names
}

}  // namespace hadal
