// Every operator of every backend on every kind of device, against the reference. A new operator is a row of
// ops/conformance_cases.cc; a new backend or device is an entry here.

#include "ops/conformance.h"

#include <gtest/gtest.h>

#include <tuple>

#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"

namespace hadal {
namespace {

struct BackendEntry {
  const char* name;
  std::unique_ptr<Backend> (*make)();
};

constexpr BackendEntry kBackends[] = {{"cpu", make_cpu_backend}, {"reference", make_reference_backend}};

using Place = std::tuple<BackendEntry, DeviceKind, int>;  // backend, device, its threads

std::string place_name(const testing::TestParamInfo<Place>& info) {
  const auto& [backend, kind, threads] = info.param;
  return std::string(backend.name) + "_on_" + (kind == DeviceKind::cpu ? "cpu_" : "fake_") + std::to_string(threads);
}

std::unique_ptr<Device> make_device(DeviceKind kind, int threads) {
  DeviceOptions options;
  options.names = {{kind, 0}};
  options.threads = threads;
  options.pin = false;
  options.link = {.bytes_per_second = 1e12, .latency_seconds = 0};
  return std::move(make_devices(options).front());
}

class Conformance : public testing::TestWithParam<Place> {};

TEST_P(Conformance, every_operator_matches_the_reference) {
  const auto& [entry, kind, threads] = GetParam();
  const std::unique_ptr<Backend> backend = entry.make(), reference = make_reference_backend();
  const std::unique_ptr<Device> device = make_device(kind, threads);
  for (const ConformanceCase& which : conformance_cases()) {
    const ConformanceResult result = check_conformance(which, *backend, *reference, *device);
    EXPECT_TRUE(result.ok) << result.name << ": " << result.op << " (" << result.implementation
                           << "): " << result.problem << "; error " << result.error << ", tolerance "
                           << result.tolerance;
  }
}

INSTANTIATE_TEST_SUITE_P(OneThread, Conformance,
                         testing::Combine(testing::ValuesIn(kBackends),
                                          testing::Values(DeviceKind::cpu, DeviceKind::fake), testing::Values(1)),
                         place_name);
INSTANTIATE_TEST_SUITE_P(TwoThreads, Conformance,
                         testing::Combine(testing::Values(kBackends[0]), testing::Values(DeviceKind::cpu),
                                          testing::Values(2)),
                         place_name);

}  // namespace
}  // namespace hadal
