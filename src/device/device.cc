#include "device/device.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "device/cpu_device.h"
#include "device/fake_device.h"

namespace hadal {

namespace {

constexpr int kMaxIndex = 1023;

const char* kind_name(DeviceKind kind) { return kind == DeviceKind::cpu ? "cpu" : "fake"; }

ConfigError no_device(const std::string& text, const std::string& hint) {
  return ConfigError(fmt::format("'{}' is not a device; {}", text, hint));
}

int parse_index(const std::string& text, const std::string& digits) {
  int index = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, index);
  const bool canonical = !digits.empty() && digits[0] != '-' && (digits[0] != '0' || digits.size() == 1);
  if (stop != end || error != std::errc() || !canonical || index > kMaxIndex) {
    throw no_device(text, fmt::format("the number after the colon goes from 0 to {}", kMaxIndex));
  }
  return index;
}

void check_names(const std::vector<DeviceName>& names) {
  if (names.empty()) throw ConfigError("no device is named; name at least one, such as cpu:0");
  for (std::size_t i = 1; i < names.size(); ++i) {
    if (names[i].kind != names[0].kind) {
      throw ConfigError(fmt::format("{} and {} are devices of two kinds; a job's devices are all of one",
                                    names[0].to_string(), names[i].to_string()));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (names[i] == names[j]) throw ConfigError(fmt::format("device {} is named twice", names[i].to_string()));
    }
  }
}

void check_options(const DeviceOptions& options) {
  if (options.threads < 1) {
    throw ConfigError(fmt::format("a device cannot have {} threads; give it 1 or more", options.threads));
  }
  const LinkSpeed& link = options.link;
  if (!std::isfinite(link.bytes_per_second) || link.bytes_per_second <= 0) {
    throw ConfigError(
        fmt::format("a link cannot carry {} bytes per second; give it more than 0", link.bytes_per_second));
  }
  if (!std::isfinite(link.latency_seconds) || link.latency_seconds < 0) {
    throw ConfigError(
        fmt::format("a link cannot have a latency of {} seconds; give it 0 or more", link.latency_seconds));
  }
  const int streams = static_cast<int>(options.names.size()) * kStreamKinds;
  if (options.fake_late_stream < -1 || options.fake_late_stream >= streams) {
    throw ConfigError(fmt::format("there is no stream {} to be late; they go from 0 to {}, and -1 is none",
                                  options.fake_late_stream, streams - 1));
  }
}

}  // namespace

std::string DeviceName::to_string() const { return fmt::format("{}:{}", kind_name(kind), index); }

DeviceName DeviceName::parse(const std::string& text) {
  for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::fake}) {
    const std::string name = kind_name(kind);
    if (text == name) throw no_device(text, fmt::format("did you mean '{}:0'?", name));
    if (text.starts_with(name + ":")) return {kind, parse_index(text, text.substr(name.size() + 1))};
  }
  throw no_device(text, fmt::format("devices are cpu:N and fake:N, with N from 0 to {}", kMaxIndex));
}

std::vector<std::unique_ptr<Device>> make_devices(const DeviceOptions& options) {
  check_names(options.names);
  check_options(options);
  return options.names[0].kind == DeviceKind::cpu ? make_cpu_devices(options) : make_fake_devices(options);
}

}  // namespace hadal
