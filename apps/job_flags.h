#pragma once
// The flags by which a command line changes a job.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "spec/job.h"

namespace hadal {

// Checks of flags: what they say of a wrong value follows the flag's name.
CLI::Validator not_empty();
CLI::Validator whole_from_one();

class JobFlags {
 public:
  // Adds --devices, --threads, --groups, --split and --set. The object must outlive the parsing.
  void add_to(CLI::App& verb);

  // Adds --machine: the job on all devices of a described machine, or those that --devices names as it does.
  void add_machine_to(CLI::App& verb);

  JobSpec load(const std::string& path) const;                            // a file
  JobSpec parse(const std::string& text, const std::string& file) const;  // a text that `file` names in errors

  // What load() does, apart: for files that have some of a job's keys.
  std::vector<Override> overrides() const;
  void apply_threads(JobSpec& job) const;

 private:
  std::vector<std::string> named_devices() const;

  std::string devices_, machine_, split_;
  int threads_ = 0, groups_ = 0;
  std::vector<std::string> sets_;
};

}  // namespace hadal
