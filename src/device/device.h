#pragma once
// A device is a place with its own memory, a compute stream and copy streams (docs/architecture.md, rule 3).
//
//   cpu:0, cpu:1, ...   sets of cores; they all address one memory
//   fake:0, fake:1, ... CPU devices behind an asynchronous driver: each its own heap, streams that run later and out of
//                       step, links of a described machine. What forgets to wait for an event computes garbage there.
//
// A late stream of fake devices (DeviceOptions::fake_late_stream) sleeps a millisecond before each kernel and each
// copy. Streams are numbered kStreamKinds * (the device's place in the job) + kind. A wait that is missing for what a
// stream does shows as a wrong result where that stream is late.
//
// Nothing above this folder and src/ops knows which kind it has: it asks `memory()` and `stream()`.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/machine.h"
#include "device/stream.h"

namespace hadal {

enum class DeviceKind { cpu, fake };

// "cpu:0" in parts.
struct DeviceName {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;

  std::string to_string() const;
  bool operator==(const DeviceName&) const = default;

  // Throws ConfigError on anything but "cpu:N" or "fake:N", 0 <= N < 1024.
  static DeviceName parse(const std::string& text);
};

// Memory of one device, given back when this object ends. Zero-filled, aligned to a page. Movable.
class Buffer {
 public:
  Buffer() = default;
  // Anonymous pages; huge ones where the system has them. Throws DeviceError when there is not enough.
  explicit Buffer(std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool contains(const void* pointer, std::size_t bytes) const;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Memory of this machine that programs can still get, in bytes; 0 where the system does not say.
std::size_t available_memory_bytes();

// Thread-safe except allocate(), which one thread calls before any work is submitted. Owns its streams; ends when no
// program runs that uses its memory.
class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceName& name() const = 0;

  // Two devices with the same memory() read and write each other's buffers where they lie.
  virtual int memory() const = 0;

  // Cores that a kernel of this device may use at once (>= 1).
  virtual int threads() const = 0;

  // One arena: `bytes` of this device's memory, owned by the device until it ends or allocates again.
  virtual std::byte* allocate(std::size_t bytes) = 0;

  // Whether [pointer, pointer + bytes) may be given to a kernel of this device. Always, where `bytes` is 0.
  virtual bool addresses(const void* pointer, std::size_t bytes) const = 0;

  virtual Stream& stream(StreamKind kind) = 0;

  // Copies between this device's memory and the host's; no program may be running. Not counted as traffic. Throws
  // DeviceError where `device` is not this device's memory.
  virtual void upload(std::byte* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const std::byte* device, std::size_t bytes) = 0;

  // What each port of the machine (device/machine.h) has carried for all its devices; empty where it is not counted.
  virtual std::vector<std::uint64_t> port_bytes() const { return {}; }
};

struct DeviceOptions {
  std::vector<DeviceName> names;
  int threads = 1;  // of each device
  bool pin = true;  // cpu devices: bind each one's threads to cores of its own, where they take all cores
  LinkSpeed link;   // fake devices without `machine`: those of a uniform_machine()
  std::optional<Machine> machine{};  // fake devices: its devices are these, in their order
  int fake_late_stream = -1;         // fake devices: -1 = as fast as the links allow; else this stream is late
};

// The devices of a job in the job's order. Throws ConfigError when a name repeats, kinds are mixed, or an option is out
// of its range. They hold no thread before work is submitted. Fake devices copy only to those made with them.
std::vector<std::unique_ptr<Device>> make_devices(const DeviceOptions& options);

}  // namespace hadal
