#pragma once
// Every key that a job may have, as a list: what docs/job.md is checked against.

#include <string>
#include <vector>

namespace hadal {

struct KeyInfo {
  std::string path;      // "solver.epochs"; of a layer "conv.kernel", of every layer "LAYER.name"
  std::string type;      // "whole number from 1 to 1000000"
  std::string fallback;  // what stands where the key is absent, or "required"
  std::string meaning;
};

std::vector<KeyInfo> job_keys();

}  // namespace hadal
