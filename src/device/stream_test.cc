// What every stream keeps to, on each kind of device.

#include "device/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <new>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "device/device.h"
#include "device/test_work.h"

#ifndef HADAL_SANITIZED

namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

#endif

namespace hadal {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class StreamTest : public testing::TestWithParam<DeviceKind> {
 protected:
  std::vector<std::unique_ptr<Device>> make(int count, int late_stream = -1) const {
    DeviceOptions options{.link = {.bytes_per_second = 1e12, .latency_seconds = 0}, .fake_late_stream = late_stream};
    for (int i = 0; i < count; ++i) options.names.push_back({GetParam(), i});
    return make_devices(options);
  }

  static std::string error_of(Stream& stream, int expected_step) {
    try {
      stream.synchronize();
    } catch (const StepError& error) {
      EXPECT_EQ(error.step, expected_step);
      return error.message;
    }
    return "no error";
  }

  Abort abort_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, StreamTest, testing::Values(DeviceKind::cpu, DeviceKind::fake),
                         [](const auto& kind) { return kind.param == DeviceKind::cpu ? "cpu" : "fake"; });

TEST_P(StreamTest, runs_items_in_order_with_the_values_of_the_round) {
  const auto devices = make(1);
  Stream& stream = devices[0]->stream(StreamKind::compute);
  std::vector<std::uint64_t> seen;
  TestWork first([&](const StepValues& values) { seen.push_back(values.step); });
  TestWork second([&](const StepValues& values) { seen.push_back(values.step + 100); });
  const Program program{{run_item(first), run_item(second), run_item(first)}};
  for (std::uint64_t round = 1; round <= 2; ++round) {
    stream.submit(program, {.round = round, .step = 10 * round}, in(10s), abort_, {});
    stream.synchronize();
  }
  EXPECT_THAT(seen, testing::ElementsAre(10, 110, 10, 20, 120, 20));
}

TEST_P(StreamTest, ends_at_once_without_items_or_a_program) {
  const auto devices = make(1);
  Stream& stream = devices[0]->stream(StreamKind::gather);
  stream.synchronize();
  const Program empty;
  stream.submit(empty, {.round = 1}, in(10s), abort_, {});
  stream.synchronize();
  stream.synchronize();
}

TEST_P(StreamTest, refuses_a_second_program_before_the_first_was_synchronized) {
  const auto devices = make(1);
  Stream& stream = devices[0]->stream(StreamKind::compute);
  TestWork nothing([](const StepValues&) {});
  const Program program{{run_item(nothing)}};
  stream.submit(program, {.round = 1}, in(10s), abort_, {});
  EXPECT_THROW(stream.submit(program, {.round = 2}, in(10s), abort_, {}), std::logic_error);
  stream.synchronize();
}

// A number goes around all streams of three devices, each adding one to what the stream before it left.
TEST_P(StreamTest, events_order_work_across_streams_and_devices_for_many_rounds) {
  constexpr int kDevices = 3, kStreams = kDevices * kStreamKinds, kRounds = 2000;
  const auto devices = make(kDevices);
  std::vector<std::uint64_t> numbers(kStreams, 0);  // not atomic: TSan sees what an event does not order
  std::vector<Event> events(kStreams);
  std::vector<std::unique_ptr<TestWork>> work;
  std::vector<Program> programs(kStreams);
  for (std::size_t i = 0; i < kStreams; ++i) {
    work.push_back(std::make_unique<TestWork>([&numbers, i](const StepValues& values) {
      numbers[i] = i == 0 ? numbers.back() + values.round : numbers[i - 1] + 1;
    }));
    if (i > 0) programs[i].items.push_back(wait_item(events[i - 1]));
    programs[i].items.push_back(run_item(*work.back()));
    programs[i].items.push_back(record_item(events[i]));
  }
  std::uint64_t expected = 0;
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    for (std::size_t i = kStreams; i-- > 0;) {
      devices[i / kStreamKinds]
          ->stream(static_cast<StreamKind>(i % kStreamKinds))
          .submit(programs[i], {.round = round}, in(10s), abort_, {});
    }
    for (std::size_t i = 0; i < kStreams; ++i) {
      devices[i / kStreamKinds]->stream(static_cast<StreamKind>(i % kStreamKinds)).synchronize();
    }
    expected += round + kStreams - 1;
    ASSERT_EQ(numbers.back(), expected) << "round " << round;
  }
}

TEST_P(StreamTest, two_streams_hand_over_back_and_forth_within_a_round) {
  constexpr int kHandovers = 500;
  const auto devices = make(2);
  std::vector<Event> events(2 * kHandovers);
  std::vector<int> order;
  TestWork ping([&](const StepValues&) { order.push_back(0); });
  TestWork pong([&](const StepValues&) { order.push_back(1); });
  Program left, right;
  for (std::size_t i = 0; i < kHandovers; ++i) {
    if (i > 0) left.items.push_back(wait_item(events[2 * i - 1]));
    left.items.push_back(run_item(ping));
    left.items.push_back(record_item(events[2 * i]));
    right.items.push_back(wait_item(events[2 * i]));
    right.items.push_back(run_item(pong));
    right.items.push_back(record_item(events[2 * i + 1]));
  }
  for (std::uint64_t round = 1; round <= 3; ++round) {
    order.clear();
    devices[0]->stream(StreamKind::compute).submit(left, {.round = round}, in(10s), abort_, {});
    devices[1]->stream(StreamKind::compute).submit(right, {.round = round}, in(10s), abort_, {});
    devices[0]->stream(StreamKind::compute).synchronize();
    devices[1]->stream(StreamKind::compute).synchronize();
    ASSERT_EQ(order.size(), 2u * kHandovers);
    for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], static_cast<int>(i % 2));
  }
}

TEST_P(StreamTest, copies_rows_with_their_pitches_and_from_the_batch) {
  const auto devices = make(2);
  std::byte* source = devices[0]->allocate(4096);
  std::byte* destination = devices[1]->allocate(4096);
  std::vector<unsigned char> host(64);
  std::iota(host.begin(), host.end(), static_cast<unsigned char>(1));
  devices[0]->upload(source, host.data(), host.size());
  const Program program{{
      copy_item({.source = source + 2,
                 .destination = destination,
                 .rows = 2,
                 .row_bytes = 3,
                 .source_pitch = 10,
                 .destination_pitch = 4}),
      copy_item({.source = source,
                 .destination = destination + 100,
                 .rows = 4,
                 .row_bytes = 16,
                 .source_pitch = 16,
                 .destination_pitch = 16}),
      copy_item({.source = source,
                 .destination = destination + 400,
                 .rows = 3,
                 .row_bytes = 2,
                 .source_pitch = 20,
                 .destination_pitch = 2}),
      copy_item({.source = source,
                 .destination = destination + 500,
                 .rows = 2,
                 .row_bytes = 2,
                 .source_pitch = 2,
                 .destination_pitch = 3}),
      copy_item({.source = source, .destination = destination + 200, .rows = 0, .row_bytes = 16}),
  }};
  const Program from_batch{{
      copy_item({.batch_offset = 5,
                 .destination = source + 300,
                 .rows = 1,
                 .row_bytes = 2,
                 .source_pitch = 2,
                 .destination_pitch = 2}),
  }};
  Stream& gather = devices[0]->stream(StreamKind::gather);
  gather.submit(program, {.round = 1}, in(10s), abort_, {});
  gather.synchronize();
  gather.submit(from_batch, {.round = 2, .batch = host.data()}, in(10s), abort_, {});
  gather.synchronize();
  std::vector<unsigned char> rows(8), all(64), packed(6), spread(5), two(2);
  devices[1]->download(rows.data(), destination, rows.size());
  devices[1]->download(all.data(), destination + 100, all.size());
  devices[1]->download(packed.data(), destination + 400, packed.size());
  devices[1]->download(spread.data(), destination + 500, spread.size());
  devices[0]->download(two.data(), source + 300, two.size());
  EXPECT_THAT(rows, testing::ElementsAre(3, 4, 5, 0, 13, 14, 15, 0));
  EXPECT_EQ(all, host);
  EXPECT_THAT(packed, testing::ElementsAre(1, 2, 21, 22, 41, 42));
  EXPECT_THAT(spread, testing::ElementsAre(1, 2, 0, 3, 4));
  EXPECT_THAT(two, testing::ElementsAre(6, 7));
  gather.submit(from_batch, {.round = 3}, in(10s), abort_, {});
  EXPECT_THAT(error_of(gather, 0), HasSubstr("batch != nullptr"));
}

TEST_P(StreamTest, a_failing_item_frees_all_who_wait_and_is_named) {
  const auto devices = make(3);
  Event never, also_never;
  bool went_on = false;
  TestWork fail([](const StepValues&) { throw DeviceError("the disk of lies is full"); });
  TestWork after([&](const StepValues&) { went_on = true; });
  TestWork nothing([](const StepValues&) {});
  const Program failing{{run_item(nothing, 1), run_item(fail, 17), run_item(after, 18), record_item(never, 19)}};
  const Program waiting{{wait_item(never, 30), run_item(after, 31), record_item(also_never, 32)}};
  const Program waiting_for_that{{wait_item(also_never, 40), run_item(after, 41)}};
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const auto begin = Clock::now();
    devices[1]->stream(StreamKind::compute).submit(waiting, {.round = round}, in(60s), abort_, {});
    devices[2]->stream(StreamKind::distribute).submit(waiting_for_that, {.round = round}, in(60s), abort_, {});
    std::this_thread::sleep_for(10ms);  // they are asleep when it fails
    devices[0]->stream(StreamKind::compute).submit(failing, {.round = round}, in(60s), abort_, {});
    EXPECT_EQ(error_of(devices[0]->stream(StreamKind::compute), 17), "the disk of lies is full");
    devices[1]->stream(StreamKind::compute).synchronize();
    devices[2]->stream(StreamKind::distribute).synchronize();
    EXPECT_LT(Clock::now() - begin, 1s);
    EXPECT_TRUE(abort_.raised());
    EXPECT_FALSE(went_on);
    abort_.reset();
  }
  const Program works{{run_item(after)}};
  devices[0]->stream(StreamKind::compute).submit(works, {.round = 4}, in(10s), abort_, {});
  devices[0]->stream(StreamKind::compute).synchronize();
  EXPECT_TRUE(went_on);
}

TEST_P(StreamTest, passes_on_what_was_thrown) {
  const auto devices = make(1);
  Stream& stream = devices[0]->stream(StreamKind::compute);
  const auto error = [&](TestWork work, int step) {
    const Program program{{run_item(work, 5)}};
    stream.submit(program, {.round = 1}, in(10s), abort_, {});
    const std::string message = error_of(stream, step);
    abort_.reset();
    return message;
  };
  EXPECT_EQ(error(TestWork([](const StepValues&) { throw StepError(8, "as it is"); }), 8), "as it is");
  EXPECT_EQ(error(TestWork([](const StepValues&) { throw std::runtime_error("other"); }), 5), "other");
  EXPECT_THAT(error(TestWork([](const StepValues&) { throw 5; }), 5), HasSubstr("no std::exception"));
}

TEST_P(StreamTest, a_deadline_ends_a_wait_and_says_so) {
  const auto devices = make(2);
  Event never;
  TestWork nothing([](const StepValues&) {});
  const Program waiting{{run_item(nothing, 3), wait_item(never, 4), run_item(nothing, 5)}};
  Stream& gather = devices[1]->stream(StreamKind::gather);
  const auto begin = Clock::now();
  gather.submit(waiting, {.round = 1}, in(120ms), abort_, {});
  EXPECT_THAT(error_of(gather, 4), HasSubstr(":1's gather stream waited 0."));
  EXPECT_GE(Clock::now() - begin, 120ms);
  EXPECT_LT(Clock::now() - begin, 1s);
  EXPECT_TRUE(abort_.raised());
}

TEST_P(StreamTest, an_event_of_an_earlier_round_is_not_enough) {
  const auto devices = make(1);
  Event event;
  event.record(6);
  Stream& stream = devices[0]->stream(StreamKind::compute);
  const Program waiting{{wait_item(event, 2)}};
  stream.submit(waiting, {.round = 6}, in(10s), abort_, {});
  stream.synchronize();
  stream.submit(waiting, {.round = 7}, in(30ms), abort_, {});
  EXPECT_THAT(error_of(stream, 2), HasSubstr("waited 0."));
}

TEST_P(StreamTest, spans_and_counters_tell_when_items_ran) {
  const auto devices = make(1);
  Event event;
  TestWork sleep([](const StepValues&) { std::this_thread::sleep_for(20ms); });
  const Program program{{run_item(sleep), wait_item(event), run_item(sleep)}};
  std::vector<Span> spans(3);
  Stream& stream = devices[0]->stream(StreamKind::compute);
  const auto begin = Clock::now().time_since_epoch() / 1ns;
  stream.submit(program, {.round = 1}, in(10s), abort_, spans);
  std::this_thread::sleep_for(50ms);
  event.record(1);
  stream.synchronize();
  const auto end = Clock::now().time_since_epoch() / 1ns;
  EXPECT_GE(spans[0].begin_ns, begin);
  EXPECT_LE(spans[2].end_ns, end);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LE(spans[i].begin_ns, spans[i].end_ns);
    if (i > 0) {
      EXPECT_LE(spans[i - 1].end_ns, spans[i].begin_ns);
    }
  }
  EXPECT_GE(spans[0].end_ns - spans[0].begin_ns, 20'000'000);
  const StreamCounters counters = stream.counters();
  EXPECT_GE(counters.busy_seconds, 0.04);
  EXPECT_NEAR(counters.busy_seconds,
              static_cast<double>(spans[0].end_ns - spans[0].begin_ns + spans[2].end_ns - spans[2].begin_ns) * 1e-9,
              1e-9);
  EXPECT_NEAR(counters.wait_seconds, static_cast<double>(spans[1].end_ns - spans[1].begin_ns) * 1e-9, 1e-9);
  EXPECT_GT(counters.wait_seconds, 0);
}

TEST_P(StreamTest, a_device_may_end_while_its_stream_waits) {
  Event never;
  const Program waiting{{wait_item(never)}};
  const auto begin = Clock::now();
  {
    const auto devices = make(1);
    devices[0]->stream(StreamKind::compute).submit(waiting, {.round = 1}, in(60s), abort_, {});
  }
  EXPECT_TRUE(abort_.raised());
  EXPECT_LT(Clock::now() - begin, 1s);
}

TEST_P(StreamTest, a_round_allocates_nothing) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "the sanitizers have an allocator of their own";
#else
  const auto devices = make(2);
  std::byte* source = devices[0]->allocate(4096);
  std::byte* destination = devices[1]->allocate(4096);
  Event copied;
  TestWork nothing([](const StepValues&) {});
  const Program sending{{run_item(nothing),
                         copy_item({.source = source,
                                    .destination = destination,
                                    .rows = 8,
                                    .row_bytes = 16,
                                    .source_pitch = 32,
                                    .destination_pitch = 16}),
                         record_item(copied)}};
  const Program receiving{{wait_item(copied), run_item(nothing)}};
  std::vector<Span> spans(3);
  const auto run_round = [&](std::uint64_t round) {
    devices[1]->stream(StreamKind::compute).submit(receiving, {.round = round}, in(10s), abort_, {});
    devices[0]->stream(StreamKind::gather).submit(sending, {.round = round}, in(10s), abort_, spans);
    devices[0]->stream(StreamKind::gather).synchronize();
    devices[1]->stream(StreamKind::compute).synchronize();
  };
  run_round(1);
  const std::uint64_t before = allocations.load();
  EXPECT_GT(before, 0u);
  for (std::uint64_t round = 2; round < 200; ++round) run_round(round);
  EXPECT_EQ(allocations.load(), before);
#endif
}

TEST_P(StreamTest, an_idle_stream_uses_no_processor) {
  const auto devices = make(1);
  TestWork nothing([](const StepValues&) {});
  const Program program{{run_item(nothing)}};
  devices[0]->stream(StreamKind::compute).submit(program, {.round = 1}, in(10s), abort_, {});
  devices[0]->stream(StreamKind::compute).synchronize();
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.02);
}

}  // namespace
}  // namespace hadal
