#include "apps/job_flags.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "spec/machine_file.h"
#include "spec/scalar.h"

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

namespace {

CLI::Validator auto_or_whole_from_one() {
  return CLI::Validator(
      [](std::string& text) {
        const bool fits = text == "auto" || whole_from_one()(text).empty();
        return fits ? std::string() : "must be auto or a whole number from 1 on, not '" + text + "'";
      },
      "");
}

}  // namespace

void JobFlags::add_to(CLI::App& verb) {
  verb.add_option("--devices", devices_, "Devices instead of the job's, for example cpu:0,cpu:1")->check(not_empty());
  verb.add_option("--threads", threads_, "Cores of each CPU device")->check(CLI::Range(1, 1024));
  verb.add_option("--groups", groups_, "Worker groups; alone: split is devices / groups")->check(CLI::Range(1, 1024));
  verb.add_option("--split", split_, "Devices that hold one model together, or auto: what is predicted to be fastest")
      ->check(auto_or_whole_from_one());
  verb.add_option("--set", sets_, "Override a key of the job, for example --set solver.epochs=1")
      ->take_all()
      ->expected(1);
}

void JobFlags::add_machine_to(CLI::App& verb) {
  verb.add_option("--machine", machine_, "A described machine instead of this one; --devices may name its devices")
      ->check(not_empty());
}

std::vector<std::string> JobFlags::named_devices() const {
  if (("," + devices_ + ",").find(",,") != std::string::npos && !devices_.empty()) {
    throw ConfigError("--devices " + devices_ + ": there is a comma too many; name devices as cpu:0,cpu:1");
  }
  std::vector<std::string> names;
  std::istringstream list(devices_);
  for (std::string name; std::getline(list >> std::ws, name, ',');) {
    names.push_back(name.substr(0, name.find_last_not_of(' ') + 1));
  }
  return names;
}

namespace {

// The devices of a job that stand for those of a machine: all, or those that are named.
std::vector<std::string> devices_of(const Machine& machine, const std::vector<std::string>& names) {
  const bool one_memory = std::all_of(machine.devices.begin(), machine.devices.end(), [&](const MachineDevice& device) {
    return device.memory == machine.devices[0].memory;
  });
  std::vector<std::string> devices;
  for (std::size_t d = 0; d < machine.devices.size(); ++d) {
    devices.push_back((one_memory ? "cpu:" : "fake:") + std::to_string(d));
  }
  if (names.empty()) return devices;
  std::vector<std::string> chosen, known;
  for (const MachineDevice& device : machine.devices) known.push_back(device.name);
  for (const std::string& name : names) {
    const auto number = [&](const MachineDevice& device) { return std::to_string(&device - machine.devices.data()); };
    const auto found = std::find_if(machine.devices.begin(), machine.devices.end(), [&](const MachineDevice& device) {
      return device.name == name || name == "fake:" + number(device) || name == "cpu:" + number(device);
    });
    if (found == machine.devices.end()) {
      throw ConfigError("--devices: the machine has no device '" + name + "'; its devices are " + join_or(known));
    }
    chosen.push_back(devices[static_cast<std::size_t>(found - machine.devices.begin())]);
    if (std::count(names.begin(), names.end(), name) > 1) {
      throw ConfigError("--devices: '" + name + "' stands here twice");
    }
  }
  return chosen;
}

}  // namespace

std::vector<Override> JobFlags::overrides() const {
  std::vector<Override> overrides;
  for (const std::string& set : sets_) overrides.push_back(parse_override(set));
  const auto add = [&](const std::string& key, const std::string& value, const std::string& flag) {
    overrides.push_back({"parallel." + key, value, flag});
  };
  std::vector<std::string> devices = named_devices();
  if (!machine_.empty()) {
    const Machine machine = load_machine(machine_);
    try {
      add("machine", nlohmann::json(machine_).dump(), "--machine " + machine_);
    } catch (const nlohmann::json::exception&) {
      throw ConfigError("--machine: the name of the file is not UTF-8");
    }
    devices = devices_of(machine, devices);
  }
  if (!devices.empty()) {
    add("devices", nlohmann::json(devices).dump(),
        devices_.empty() ? "--machine " + machine_ : "--devices " + devices_);
  }
  if (groups_ > 0) add("groups", std::to_string(groups_), "--groups " + std::to_string(groups_));
  if (!split_.empty()) add("split", split_, "--split " + split_);
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
  job.parallel.described = !machine_.empty();
  return job;
}

JobSpec JobFlags::parse(const std::string& text, const std::string& file) const {
  JobSpec job = parse_job(text, file, overrides());
  apply_threads(job);
  job.parallel.described = !machine_.empty();
  return job;
}

}  // namespace hadal
