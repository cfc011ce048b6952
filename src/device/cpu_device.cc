#include "device/cpu_device.h"

#include <sched.h>

#include <cstring>

#include "device/stream_thread.h"

namespace hadal {

namespace {

class CpuDevice : public Device {
 public:
  // `cores`: what its kernels' threads are bound to; empty: any.
  CpuDevice(const DeviceName& name, int threads, const std::vector<int>& cores) : name_(name), threads_(threads) {
    for (int kind = 0; kind < kStreamKinds; ++kind) {
      const bool computes = kind == static_cast<int>(StreamKind::compute);
      streams_.push_back(std::make_unique<StreamThread>(StreamOptions{
          .name = name.to_string() + "'s " + to_string(static_cast<StreamKind>(kind)) + " stream",
          .threads = computes ? threads : 1,
          .cores = computes ? cores : std::vector<int>(),
          .on_caller = computes,
      }));
    }
  }

  const DeviceName& name() const override { return name_; }
  int memory() const override { return 0; }
  int threads() const override { return threads_; }

  std::byte* allocate(std::size_t bytes) override {
    arena_ = Buffer();
    arena_ = Buffer(bytes);
    return arena_.data();
  }

  bool addresses(const void*, std::size_t) const override { return true; }

  Stream& stream(StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }

  void upload(std::byte* device, const void* host, std::size_t bytes) override { std::memcpy(device, host, bytes); }
  void download(void* host, const std::byte* device, std::size_t bytes) override { std::memcpy(host, device, bytes); }

 private:
  const DeviceName name_;
  const int threads_;
  Buffer arena_;
  std::vector<std::unique_ptr<StreamThread>> streams_;
};

// The cores that this process may use; none where the system does not say.
std::vector<int> process_cores() {
  std::vector<int> cores;
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &mask)) cores.push_back(core);
  }
  return cores;
}

}  // namespace

std::vector<std::unique_ptr<Device>> make_cpu_devices(const DeviceOptions& options) {
  const std::vector<int> cores = options.pin ? process_cores() : std::vector<int>();
  const auto threads = static_cast<std::size_t>(options.threads);
  // Only a job that takes all cores is bound to them: two smaller ones would choose the same.
  const bool all = cores.size() == threads * options.names.size();
  std::vector<std::unique_ptr<Device>> devices;
  for (std::size_t i = 0; i < options.names.size(); ++i) {
    std::vector<int> own;
    if (all) {
      const auto first = cores.begin() + static_cast<std::ptrdiff_t>(i * threads);
      own.assign(first, first + static_cast<std::ptrdiff_t>(threads));
    }
    devices.push_back(std::make_unique<CpuDevice>(options.names[i], options.threads, own));
  }
  return devices;
}

}  // namespace hadal
