#include "device/fake_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "device/stream_thread.h"
#include "device/traffic.h"

namespace hadal {

namespace {

struct Heap {
  DeviceName device;
  Buffer buffer;
};

// The heaps of devices that were made together. Each device and stream holds a share, so that a copy under way has its
// destination even while the devices end one after the other.
using Heaps = std::shared_ptr<std::vector<Heap>>;

// "pointer 0x7f12 of fake:1's memory", "host pointer 0x7f12".
std::string describe(const std::vector<Heap>& heaps, const void* pointer) {
  for (const Heap& heap : heaps) {
    if (heap.buffer.contains(pointer, 0))
      return fmt::format("pointer {} of {}'s memory", pointer, heap.device.to_string());
  }
  return fmt::format("host pointer {}", pointer);
}

std::size_t reach(std::size_t rows, std::size_t row_bytes, std::size_t pitch) {
  return rows == 0 || row_bytes == 0 ? 0 : (rows - 1) * pitch + row_bytes;
}

class FakeStream : public StreamThread {
 public:
  FakeStream(StreamOptions options, Heaps heaps, std::shared_ptr<Traffic> traffic, std::size_t own)
      : StreamThread(std::move(options)), heaps_(std::move(heaps)), traffic_(std::move(traffic)), own_(own) {}

  void submit(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
              std::span<Span> spans) override {
    for (const Item& item : program.items) {
      if (item.kind == Item::Kind::run) check(item.step, *item.work);
      if (item.kind == Item::Kind::copy) check(item.step, item.copy);
    }
    StreamThread::submit(program, values, deadline, abort, spans);
  }

 private:
  bool pace(const Copy& copy, Clock::time_point begin, const Abort& abort) override {
    const int own = static_cast<int>(own_), host = traffic_->machine().host;
    const bool load = copy.source == nullptr;
    if ((load && host < 0) || copy.rows * copy.row_bytes == 0) return !abort.raised();
    const auto to = load ? own_ : *place_of(copy.destination, 1);
    return traffic_->carry(load ? host : own, static_cast<int>(to), copy.rows * copy.row_bytes, begin, abort);
  }

  // Whose memory this is.
  std::optional<std::size_t> place_of(const void* pointer, std::size_t bytes) const {
    for (std::size_t place = 0; place < heaps_->size(); ++place) {
      if ((*heaps_)[place].buffer.contains(pointer, bytes)) return place;
    }
    return std::nullopt;
  }

  void check(int step, const Work& work) const {
    for (const Work::Argument& argument : work.arguments()) {
      if (argument.bytes == 0 || heap().buffer.contains(argument.pointer, argument.bytes)) continue;
      refuse(step, argument.pointer, "gets", "a kernel may only be given this device's memory");
    }
  }

  void check(int step, const Copy& copy) const {
    const std::size_t read = reach(copy.rows, copy.row_bytes, copy.source_pitch);
    const std::size_t written = reach(copy.rows, copy.row_bytes, copy.destination_pitch);
    if (written == 0) return;
    if (copy.source != nullptr && !heap().buffer.contains(copy.source, read)) {
      refuse(step, copy.source, "copies from", "a copy may only read this device's memory or the staged batch");
    }
    if (!place_of(copy.destination, written))
      refuse(step, copy.destination, "copies to", "a copy may only write the memory of a device of this job");
  }

  [[noreturn]] void refuse(int step, const void* pointer, const char* verb, const char* rule) const {
    throw DeviceError(
        fmt::format("{}: step {} {} {}: {}", heap().device.to_string(), step, verb, describe(*heaps_, pointer), rule));
  }

  const Heap& heap() const { return (*heaps_)[own_]; }

  const Heaps heaps_;
  const std::shared_ptr<Traffic> traffic_;
  const std::size_t own_;
};

class FakeDevice : public Device {
 public:
  FakeDevice(const DeviceOptions& options, Heaps heaps, std::shared_ptr<Traffic> traffic, std::size_t place)
      : heaps_(std::move(heaps)), traffic_(std::move(traffic)), place_(place), threads_(options.threads) {
    for (int kind = 0; kind < kStreamKinds; ++kind) {
      const bool late = options.fake_late_stream == static_cast<int>(place) * kStreamKinds + kind;
      streams_.push_back(std::make_unique<FakeStream>(
          StreamOptions{
              .name = name().to_string() + "'s " + to_string(static_cast<StreamKind>(kind)) + " stream",
              .threads = kind == static_cast<int>(StreamKind::compute) ? threads_ : 1,
              .precise = true,
              .lateness = std::chrono::milliseconds(late ? 1 : 0),
          },
          heaps_, traffic_, place));
    }
  }

  const DeviceName& name() const override { return heap().device; }
  int memory() const override { return 1 + name().index; }
  int threads() const override { return threads_; }

  std::byte* allocate(std::size_t bytes) override {
    Buffer& buffer = (*heaps_)[place_].buffer;
    buffer = Buffer();
    buffer = Buffer(bytes);
    return buffer.data();
  }

  bool addresses(const void* pointer, std::size_t bytes) const override {
    return bytes == 0 || heap().buffer.contains(pointer, bytes);
  }

  Stream& stream(StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }

  void upload(std::byte* device, const void* host, std::size_t bytes) override {
    check("upload to", device, bytes);
    std::memcpy(device, host, bytes);
  }

  void download(void* host, const std::byte* device, std::size_t bytes) override {
    check("download from", device, bytes);
    std::memcpy(host, device, bytes);
  }

  std::vector<std::uint64_t> port_bytes() const override { return traffic_->port_bytes(); }

 private:
  void check(const char* what, const std::byte* device, std::size_t bytes) const {
    if (addresses(device, bytes)) return;
    throw DeviceError(fmt::format("{}: {} {} with {} bytes: that is not this device's memory", name().to_string(), what,
                                  describe(*heaps_, device), bytes));
  }

  const Heap& heap() const { return (*heaps_)[place_]; }

  const Heaps heaps_;
  const std::shared_ptr<Traffic> traffic_;
  const std::size_t place_;
  const int threads_;
  std::vector<std::unique_ptr<FakeStream>> streams_;
};

}  // namespace

std::vector<std::unique_ptr<Device>> make_fake_devices(const DeviceOptions& options) {
  const auto heaps = std::make_shared<std::vector<Heap>>();
  for (const DeviceName& name : options.names) heaps->push_back({name, Buffer()});
  const int count = static_cast<int>(options.names.size());
  const auto traffic =
      std::make_shared<Traffic>(options.machine ? *options.machine : uniform_machine(count, options.link));
  HADAL_CHECK(traffic->machine().devices.size() == options.names.size());
  std::vector<std::unique_ptr<Device>> devices;
  for (std::size_t place = 0; place < options.names.size(); ++place) {
    devices.push_back(std::make_unique<FakeDevice>(options, heaps, traffic, place));
  }
  return devices;
}

}  // namespace hadal
