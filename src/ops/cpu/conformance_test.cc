// Every operator of this backend on every kind of device, against the reference, which
// ops/reference/conformance_test.cc checks likewise. A new operator is a row of ops/conformance_cases.cc; a new device
// is an entry here.

#include "ops/conformance.h"

#include <gtest/gtest.h>

#include <tuple>

#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"

namespace hadal {
namespace {

using Place = std::tuple<DeviceKind, int>;  // device, its threads

std::string place_name(const testing::TestParamInfo<Place>& info) {
  const auto& [kind, threads] = info.param;
  return (kind == DeviceKind::cpu ? "on_cpu_" : "on_fake_") + std::to_string(threads);
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
  const auto& [kind, threads] = GetParam();
  const std::unique_ptr<Backend> backend = make_cpu_backend(), reference = make_reference_backend();
  const std::unique_ptr<Device> device = make_device(kind, threads);
  for (const ConformanceCase& which : conformance_cases()) {
    const ConformanceResult result = check_conformance(which, *backend, *reference, *device);
    EXPECT_TRUE(result.ok) << result.name << ": " << result.op << " (" << result.implementation
                           << "): " << result.problem << "; error " << result.error << ", tolerance "
                           << result.tolerance;
  }
}

INSTANTIATE_TEST_SUITE_P(Places, Conformance,
                         testing::Values(Place{DeviceKind::cpu, 1}, Place{DeviceKind::cpu, 2},
                                         Place{DeviceKind::fake, 1}),
                         place_name);

}  // namespace
}  // namespace hadal
