#include "device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "device/test_work.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<DeviceName> names(const std::vector<std::string>& texts) {
  std::vector<DeviceName> result;
  for (const std::string& text : texts) result.push_back(DeviceName::parse(text));
  return result;
}

TEST(DeviceNameTest, parses_what_it_prints) {
  EXPECT_EQ(DeviceName::parse("cpu:0"), (DeviceName{DeviceKind::cpu, 0}));
  EXPECT_EQ(DeviceName::parse("fake:1023"), (DeviceName{DeviceKind::fake, 1023}));
  for (const char* text : {"cpu:0", "cpu:10", "fake:0", "fake:1023"}) {
    EXPECT_EQ(DeviceName::parse(text).to_string(), text);
  }
}

TEST(DeviceNameTest, refuses_everything_else) {
  const struct {
    const char *text, *message;
  } cases[] = {
      {"", "'' is not a device; devices are cpu:N and fake:N, with N from 0 to 1023"},
      {"cuda:0", "'cuda:0' is not a device; devices are cpu:N"},
      {"CPU:0", "devices are cpu:N"},
      {" cpu:0", "devices are cpu:N"},
      {"cpu", "'cpu' is not a device; did you mean 'cpu:0'?"},
      {"fake", "did you mean 'fake:0'?"},
      {"cpu:", "'cpu:' is not a device; the number after the colon goes from 0 to 1023"},
      {"cpu:-1", "from 0 to 1023"},
      {"cpu:-0", "from 0 to 1023"},
      {"cpu:+1", "from 0 to 1023"},
      {"cpu:1024", "from 0 to 1023"},
      {"cpu:99999999999999999999", "from 0 to 1023"},
      {"cpu:01", "from 0 to 1023"},
      {"cpu:1x", "from 0 to 1023"},
      {"cpu:0x1", "from 0 to 1023"},
      {"fake:1 ", "from 0 to 1023"},
  };
  for (const auto& wrong : cases) {
    EXPECT_THAT([&] { DeviceName::parse(wrong.text); }, ThrowsMessage<ConfigError>(HasSubstr(wrong.message)));
  }
}

TEST(MakeDevicesTest, refuses_lists_and_options_that_make_no_sense) {
  const struct {
    DeviceOptions options;
    const char* message;
  } cases[] = {
      {{.names = {}}, "no device is named"},
      {{.names = names({"cpu:0", "cpu:1", "cpu:0"})}, "device cpu:0 is named twice"},
      {{.names = names({"cpu:0", "fake:0"})}, "cpu:0 and fake:0 are devices of two kinds"},
      {{.names = names({"cpu:0"}), .threads = 0}, "cannot have 0 threads"},
      {{.names = names({"fake:0"}), .link = {.bytes_per_second = 0}}, "cannot carry 0 bytes per second"},
      {{.names = names({"fake:0"}), .link = {.latency_seconds = -1}}, "latency of -1 seconds"},
      {{.names = names({"fake:0"}), .fake_late_stream = 6}, "no stream 6 to be late"},
      {{.names = names({"fake:0"}), .fake_late_stream = -2}, "no stream -2 to be late"},
  };
  for (const auto& wrong : cases) {
    EXPECT_THAT([&] { make_devices(wrong.options); }, ThrowsMessage<ConfigError>(HasSubstr(wrong.message)));
  }
}

TEST(MakeDevicesTest, keeps_the_order_and_tells_memories_apart) {
  const auto cpu = make_devices({.names = names({"cpu:3", "cpu:1"}), .threads = 2});
  ASSERT_EQ(cpu.size(), 2u);
  EXPECT_EQ(cpu[0]->name().to_string(), "cpu:3");
  EXPECT_EQ(cpu[1]->name().to_string(), "cpu:1");
  EXPECT_EQ(cpu[0]->threads(), 2);
  EXPECT_EQ(cpu[0]->memory(), 0);
  EXPECT_EQ(cpu[1]->memory(), 0);
  const auto fake = make_devices({.names = names({"fake:0", "fake:5"})});
  EXPECT_EQ(fake[0]->memory(), 1);
  EXPECT_EQ(fake[1]->memory(), 6);
}

TEST(DeviceTest, memory_is_zero_page_aligned_and_reachable_as_its_kind_says) {
  int host = 0;
  for (const std::string kind : {"cpu", "fake"}) {
    const auto devices = make_devices({.names = names({kind + ":0", kind + ":1"})});
    const std::size_t bytes = (std::size_t{3} << 20) + 5;
    std::byte* mine = devices[0]->allocate(bytes);
    std::byte* other = devices[1]->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mine) % 4096, 0u);
    EXPECT_TRUE(std::all_of(mine, mine + bytes, [](std::byte byte) { return byte == std::byte{0}; }));
    const bool shared = kind == "cpu";
    EXPECT_TRUE(devices[0]->addresses(mine, bytes));
    EXPECT_TRUE(devices[0]->addresses(mine + 7, bytes - 7));
    EXPECT_TRUE(devices[0]->addresses(nullptr, 0));
    EXPECT_EQ(devices[0]->addresses(mine + 7, bytes), shared);
    EXPECT_EQ(devices[0]->addresses(mine, ~std::size_t{0}), shared);
    EXPECT_EQ(devices[0]->addresses(other, 1), shared);
    EXPECT_EQ(devices[0]->addresses(&host, sizeof(host)), shared);
  }
}

TEST(DeviceTest, uploads_and_downloads) {
  for (const std::string name : {"cpu:0", "fake:0"}) {
    const auto devices = make_devices({.names = names({name})});
    std::byte* arena = devices[0]->allocate(4096);
    const std::string sent = "all of it";
    devices[0]->upload(arena + 100, sent.data(), sent.size());
    std::string received(sent.size(), ' ');
    devices[0]->download(received.data(), arena + 100, received.size());
    EXPECT_EQ(received, sent);
  }
}

TEST(DeviceTest, a_fake_device_transfers_its_own_memory_only) {
  const auto devices = make_devices({.names = names({"fake:0", "fake:1"})});
  std::byte* mine = devices[0]->allocate(64);
  std::byte* other = devices[1]->allocate(64);
  std::byte host[64] = {};
  EXPECT_THAT([&] { devices[0]->upload(mine + 1, host, 64); }, ThrowsMessage<DeviceError>(HasSubstr("fake:0: upload")));
  EXPECT_THAT([&] { devices[0]->upload(other, host, 64); },
              ThrowsMessage<DeviceError>(HasSubstr("of fake:1's memory")));
  EXPECT_THAT([&] { devices[0]->download(host, host, 1); }, ThrowsMessage<DeviceError>(HasSubstr("host pointer 0x")));
}

TEST(BufferTest, moves_and_says_when_there_is_not_enough) {
  Buffer first(10000);
  std::byte* data = first.data();
  data[9999] = std::byte{7};
  Buffer second(std::move(first));
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(second.data(), data);
  Buffer third(1);
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.size(), 10000u);
  EXPECT_EQ(third.data()[9999], std::byte{7});
  EXPECT_TRUE(third.contains(data, 10000));
  EXPECT_FALSE(third.contains(data + 1, 10000));
  EXPECT_FALSE(third.contains(data - 1, 1));
  EXPECT_FALSE(Buffer().contains(nullptr, 0));
  EXPECT_EQ(Buffer(0).size(), 0u);
  EXPECT_THAT([] { Buffer(std::size_t{1} << 60); },
              ThrowsMessage<DeviceError>(HasSubstr("cannot get 1152921504.607 GB")));
}

std::set<int> cores_of_this_thread() {
  cpu_set_t mask;
  std::set<int> cores;
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &mask)) cores.insert(core);
  }
  return cores;
}

struct Seen {
  std::set<int> cores;
  int threads = 0;
};

// In run(), which may use the calling thread, and on the stream's own.
Seen seen_by_a_kernel(Device& device, bool by_run = true) {
  Seen seen;
  TestWork look([&](const StepValues&) { seen = {cores_of_this_thread(), omp_get_max_threads()}; });
  Abort abort;
  const Program program{{run_item(look)}};
  Stream& stream = device.stream(StreamKind::compute);
  if (by_run) {
    stream.run(program, {.round = 1}, in(std::chrono::seconds(10)), abort, {});
    return seen;
  }
  stream.submit(program, {.round = 1}, in(std::chrono::seconds(10)), abort, {});
  stream.synchronize();
  return seen;
}

TEST(CpuDeviceTest, gives_each_device_cores_of_its_own_where_they_take_all) {
  const std::set<int> all = cores_of_this_thread();
  if (all.size() % 2 != 0) GTEST_SKIP() << "needs an even number of cores";
  const int each = static_cast<int>(all.size() / 2);
  const auto devices = make_devices({.names = names({"cpu:0", "cpu:1"}), .threads = each});
  std::set<int> used;
  for (std::size_t d = 0; d < 2 * devices.size(); ++d) {
    const Seen seen = seen_by_a_kernel(*devices[d / 2], d % 2 == 0);
    EXPECT_EQ(seen.threads, each);
    EXPECT_EQ(seen.cores.size(), static_cast<std::size_t>(each));
    EXPECT_TRUE(std::includes(all.begin(), all.end(), seen.cores.begin(), seen.cores.end()));
    used.insert(seen.cores.begin(), seen.cores.end());
  }
  EXPECT_EQ(used.size(), static_cast<std::size_t>(2 * each));
  EXPECT_EQ(cores_of_this_thread(), all);
}

TEST(CpuDeviceTest, leaves_threads_free_where_they_do_not_take_all_cores_or_pinning_is_off) {
  const std::set<int> all = cores_of_this_thread();
  const int too_many = static_cast<int>(all.size()) + 1;
  const auto crowded = make_devices({.names = names({"cpu:0"}), .threads = too_many});
  EXPECT_EQ(seen_by_a_kernel(*crowded[0]).cores, all);
  EXPECT_EQ(seen_by_a_kernel(*crowded[0]).threads, too_many);
  if (all.size() > 1) {
    EXPECT_EQ(seen_by_a_kernel(*make_devices({.names = names({"cpu:0"})})[0]).cores, all);
  }
  const auto unpinned = make_devices({.names = names({"cpu:0"}), .pin = false});
  EXPECT_EQ(seen_by_a_kernel(*unpinned[0]).cores, all);
}

}  // namespace
}  // namespace hadal
