// A job from outside: nothing but ConfigError may escape, and what is read must survive being written. What follows a
// zero byte is a --set; the text is tried as the network of a model file, too.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "spec/job.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void read_as_job(const std::string& text, const std::vector<hadal::Override>& overrides) {
  std::optional<hadal::JobSpec> job;
  try {
    job = hadal::parse_job(text, "job.yaml", overrides);
  } catch (const hadal::ConfigError& error) {
    require(std::string(error.what()).find('\n') == std::string::npos);
    return;
  }
  const std::string yaml = hadal::to_yaml(*job);
  const hadal::JobSpec again = hadal::parse_job(yaml, "again.yaml");
  require(hadal::to_yaml(again) == yaml);
  require(hadal::identity(again) == hadal::identity(*job));
  const std::string network = hadal::network_to_json(job->network);
  require(hadal::network_to_json(hadal::network_from_json(network, "model")) == network);
}

void read_as_network(const std::string& text) {
  try {
    const std::string json = hadal::network_to_json(hadal::network_from_json(text, "model"));
    require(hadal::network_to_json(hadal::network_from_json(json, "model")) == json);
  } catch (const hadal::DataError&) {
  }
}

std::vector<hadal::Override> read_override(const std::string& text) {
  try {
    return {hadal::parse_override(text)};
  } catch (const hadal::ConfigError&) {
    return {};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const std::string text = input.substr(0, zero);
  read_as_job(text, zero == std::string::npos ? std::vector<hadal::Override>{} : read_override(input.substr(zero + 1)));
  read_as_network(text);
  return 0;
}
