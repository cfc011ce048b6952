// hadal doctor: what this machine has and will use, and whether its operators compute what they should.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "apps/job_flags.h"
#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/error.h"
#include "base/file.h"
#include "ops/conformance.h"
#include "ops/cpu/cpu.h"
#include "ops/reference/reference.h"
#include "spec/machine_file.h"
#include "train/bench.h"
#include "train/host.h"

namespace hadal {

namespace {

struct DoctorCommand {
  std::string device_name = "cpu:0", machine_file;
  bool verbose = false;

  void run() const {
    DeviceOptions options;
    options.names = {DeviceName::parse(device_name)};
    const auto devices = make_devices(options);
    const Host host = describe_host();
    const auto cpu = make_cpu_backend();
    fmt::print("processor  {}\n", host.processor);
    fmt::print("cores      {} usable\n", host.cores);
    fmt::print("memory     {}\n", format_bytes(static_cast<double>(host.memory_bytes)));
    fmt::print("vectors    {}\n", host.vectors);
    fmt::print("bf16       {}\n",
               host.native_bf16 ? "native" : "not native: precision: bf16 works, but slower than fp32");
    fmt::print("oneDNN     {}\n", host.onednn);
    const double peak = peak_flops(*cpu, 1, DType::f32);
    fmt::print("peak       {:.0f} GFLOP/s on one core in fp32, {:.0f} in bf16 (2048 x 2048 matrix product)\n",
               peak / 1e9, peak_flops(*cpu, 1, DType::bf16) / 1e9);
    if (!machine_file.empty()) write_machine(host, peak);
    test_operators(*cpu, *devices[0]);
  }

  void write_machine(const Host& host, double flops) const {
    if (std::filesystem::exists(machine_file)) {
      throw ConfigError("--machine " + machine_file + ": is there already; remove it, or name another file");
    }
    write_file(
        machine_file,
        fmt::format(
            "# Written by hadal doctor: {}, {} cores. FLOP/s are of a 2048 x 2048 matrix product on one core in fp32,\n"
            "# bytes a second of a copy by one core; links between memories are taken to be as fast.\n{}",
            host.processor, host.cores, to_yaml(machine_of_host(flops))));
    fmt::print("machine    written to {}\n", machine_file);
  }

  void test_operators(Backend& backend, Device& device) const {
    const auto reference = make_reference_backend();
    int passed = 0, failed = 0;
    std::map<std::string, std::map<std::string, int>> implementations;
    for (const ConformanceCase& which : conformance_cases()) {
      const ConformanceResult result = check_conformance(which, backend, *reference, device);
      ++(result.ok ? passed : failed);
      ++implementations[result.op][result.implementation];
      if (!result.ok) fmt::print("  FAILED {}: {}\n", result.name, result.problem);
      if (verbose && result.ok)
        fmt::print("  {:<50} {:<24} error {:.1e}\n", result.name, result.implementation, result.error);
    }
    fmt::print("operators on {}, backend {}:\n", device_name, backend.name());
    for (const auto& [op, names] : implementations) {
      std::string list;
      for (const auto& [name, count] : names)
        list += (list.empty() ? "" : ", ") + name + (name.starts_with("ref") ? " (SLOW)" : "");
      fmt::print("  {:<32} {}\n", op, list);
    }
    fmt::print("self-test  {} cases passed, {} failed\n", passed, failed);
    if (failed > 0)
      throw DeviceError("operators of " + device_name + " do not compute what they should; use backend: reference");
  }
};

}  // namespace

void add_doctor(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("doctor", "What this machine has and will use; a self-test of every operator");
  auto command = std::make_shared<DoctorCommand>();
  verb->add_option("--device", command->device_name, "The device to test: cpu:0 or fake:0")->capture_default_str();
  verb->add_option("--machine", command->machine_file, "Write this machine's devices and links into this file")
      ->check(not_empty());
  verb->add_flag("--verbose", command->verbose, "List every case of the self-test");
  verb->footer("Example: hadal doctor --machine machine.yaml");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
