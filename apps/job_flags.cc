#include "apps/job_flags.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace hadal {

CLI::Validator not_empty() {
  return CLI::Validator([](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); },
                        "");
}

CLI::Validator whole_from_one() {
  return CLI::Validator(
      [](const std::string& text) {
        std::int64_t number = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        const bool whole = stop == end && error == std::errc() && number >= 1;
        return whole ? std::string() : "must be a whole number from 1 on, not '" + text + "'";
      },
      "");
}

void JobFlags::add_to(CLI::App& verb) {
  verb.add_option("--devices", devices_, "Devices instead of the job's, for example cpu:0,cpu:1")->check(not_empty());
  verb.add_option("--threads", threads_, "Cores of each CPU device")->check(CLI::Range(1, 1024));
  verb.add_option("--groups", groups_, "Worker groups (devices / split)")->check(CLI::Range(1, 1024));
  verb.add_option("--split", split_, "Devices that share one model")->check(CLI::Range(1, 1024));
  verb.add_option("--set", sets_, "Override a key of the job, for example --set solver.epochs=1")
      ->take_all()
      ->expected(1);
}

std::vector<Override> JobFlags::overrides() const {
  std::vector<Override> overrides;
  for (const std::string& set : sets_) overrides.push_back(parse_override(set));
  const auto add = [&](const std::string& key, const std::string& value, const std::string& flag) {
    overrides.push_back({"parallel." + key, value, flag});
  };
  if (!devices_.empty()) {
    const std::string flag = "--devices " + devices_;
    if (("," + devices_ + ",").find(",,") != std::string::npos) {
      throw ConfigError(flag + ": there is a comma too many; name devices as cpu:0,cpu:1");
    }
    add("devices", "[" + devices_ + "]", flag);
    if (groups_ == 0) {
      const auto count = 1 + std::count(devices_.begin(), devices_.end(), ',');
      add("groups", std::to_string(count / std::max(split_, 1)), flag);
    }
  }
  if (groups_ > 0) add("groups", std::to_string(groups_), "--groups " + std::to_string(groups_));
  if (split_ > 0) add("split", std::to_string(split_), "--split " + std::to_string(split_));
  return overrides;
}

void JobFlags::apply_threads(JobSpec& job) const {
  if (threads_ > 1 && job.reproducible) {
    throw ConfigError("--threads " + std::to_string(threads_) +
                      ": a reproducible job runs one thread on each device; name more devices instead, as --devices "
                      "cpu:0,cpu:1");
  }
  if (threads_ > 0) job.parallel.threads = threads_;
}

JobSpec JobFlags::load(const std::string& path) const {
  JobSpec job = load_job(path, overrides());
  apply_threads(job);
  return job;
}

JobSpec JobFlags::parse(const std::string& text, const std::string& file) const {
  JobSpec job = parse_job(text, file, overrides());
  apply_threads(job);
  return job;
}

}  // namespace hadal
