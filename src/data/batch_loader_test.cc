#include "data/batch_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "data/dataset.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Sample i is {i, i + 0.5, -i}, with label 10 i. Reading sample `bad` throws.
class Counting : public Dataset {
 public:
  explicit Counting(std::int64_t size) : size_(size) {}

  const Shape& sample_shape() const override { return shape_; }
  std::int64_t size() const override { return size_; }
  std::int64_t classes() const override { return 10 * size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(10 * i); }
  void copy_sample(std::int64_t i, std::span<float> values) const override {
    if (i == bad) throw DataError("sample " + std::to_string(i) + " is bad");
    while (stuck) std::this_thread::sleep_for(milliseconds(1));
    ASSERT_EQ(values.size(), 3u);
    const float value = static_cast<float>(i);
    values[0] = value;
    values[1] = value + 0.5f;
    values[2] = -value;
    ++copied;
  }
  DataError bad_label(std::int64_t, std::int64_t) const override { return DataError("bad label"); }

  std::int64_t bad = -1;
  mutable std::atomic<bool> stuck{false};
  mutable std::atomic<int> copied{0};

 private:
  Shape shape_{3};
  std::int64_t size_;
};

struct Seen {
  std::int64_t epoch, first, rows;
  std::vector<std::int32_t> labels;
  bool operator==(const Seen&) const = default;
};

// Reads to the end and checks what every batch holds.
std::vector<Seen> read_all(BatchLoader& loader) {
  std::vector<Seen> all;
  while (const std::optional<StagedBatch> batch = loader.next()) {
    EXPECT_EQ(batch->labels_offset(), static_cast<std::size_t>(batch->rows()) * 12);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(batch->data()) % 64, 0u);
    EXPECT_EQ(static_cast<const void*>(batch->labels().data()), batch->data() + batch->labels_offset());
    for (std::int64_t row = 0; row < batch->rows(); ++row) {
      const float value = static_cast<float>(batch->labels()[row] / 10);
      EXPECT_EQ(batch->samples()[3 * row], value);
      EXPECT_EQ(batch->samples()[3 * row + 1], value + 0.5f);
      EXPECT_EQ(batch->samples()[3 * row + 2], -value);
    }
    all.push_back({batch->epoch(), batch->first(), batch->rows(), {batch->labels().begin(), batch->labels().end()}});
  }
  return all;
}

std::vector<Seen> read_all(const Dataset& data, const BatchLoaderOptions& options) {
  BatchLoader loader(data, options);
  return read_all(loader);
}

TEST(BatchLoader, one_sequential_pass) {
  const Counting data(5);
  EXPECT_EQ(read_all(data, {.batch = 2, .order = SampleOrder::sequential}),
            (std::vector<Seen>{{0, 0, 2, {0, 10}}, {0, 2, 2, {20, 30}}, {0, 4, 1, {40}}}));
}

TEST(BatchLoader, batches_follow_the_epochs_orders_and_never_span_two) {
  const Counting data(10);
  const std::vector<Seen> all = read_all(data, {.batch = 4, .seed = 9, .epochs = 3});
  ASSERT_EQ(all.size(), 9u);
  std::vector<std::uint32_t> order(10);
  for (std::size_t b = 0; b < 9; ++b) {
    EXPECT_EQ(all[b].epoch, static_cast<std::int64_t>(b / 3));
    EXPECT_EQ(all[b].rows, b % 3 == 2 ? 2 : 4);
    order_samples({.seed = 9, .number = all[b].epoch}, order);
    for (std::size_t row = 0; row < all[b].labels.size(); ++row) {
      EXPECT_EQ(all[b].labels[row],
                static_cast<std::int32_t>(10 * order[static_cast<std::size_t>(all[b].first) + row]));
    }
  }
}

TEST(BatchLoader, goes_on_from_any_batch_as_if_it_had_not_stopped) {
  const Counting data(10);
  BatchLoaderOptions options{.batch = 3, .seed = 5, .epochs = 3};
  const std::vector<Seen> all = read_all(data, options);
  ASSERT_EQ(all.size(), 12u);
  for (std::size_t done = 0; done <= all.size(); ++done) {
    options.first_epoch = static_cast<std::int64_t>(done / 4);
    options.first_batch = static_cast<std::int64_t>(done % 4);
    EXPECT_EQ(read_all(data, options), std::vector<Seen>(all.begin() + static_cast<std::ptrdiff_t>(done), all.end()));
  }
  options.first_epoch = 0;
  options.first_batch = 4;  // the end of an epoch is the beginning of the next
  EXPECT_EQ(read_all(data, options).front(), all[4]);
}

TEST(BatchLoader, a_batch_larger_than_the_data) {
  const Counting data(3);
  const std::vector<Seen> all = read_all(data, {.batch = 1'000'000'000, .epochs = 2});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].rows, 3);
}

TEST(BatchLoader, uses_its_buffers_over_and_over) {
  const Counting data(100);
  BatchLoader loader(data, {.batch = 2, .epochs = 4, .buffers = 3});
  std::set<const std::byte*> buffers;
  while (const auto batch = loader.next()) buffers.insert(batch->data());
  EXPECT_EQ(buffers.size(), 3u);
}

TEST(BatchLoader, a_batch_stays_as_it_is_while_it_is_held) {
  const Counting data(40);
  BatchLoader loader(data, {.batch = 2, .order = SampleOrder::sequential, .buffers = 3});
  std::optional<StagedBatch> first = loader.next();
  const StagedBatch held = std::move(*first);
  first.reset();  // what was moved from gives nothing back
  int others = 0;
  while (const auto batch = loader.next()) {
    EXPECT_NE(batch->data(), held.data());
    ++others;
  }
  EXPECT_EQ(others, 19);
  EXPECT_THAT(held.labels(), ::testing::ElementsAre(0, 10));
}

TEST(BatchLoader, an_error_comes_out_after_the_batches_before_it) {
  Counting data(10);
  data.bad = 7;
  BatchLoader loader(data, {.batch = 2, .order = SampleOrder::sequential});
  for (int b = 0; b < 3; ++b) EXPECT_TRUE(loader.next().has_value());
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT([&] { static_cast<void>(loader.next()); }, ThrowsMessage<DataError>("sample 7 is bad"));
  }
}

TEST(BatchLoader, the_end_stays_the_end) {
  const Counting data(2);
  BatchLoader loader(data, {.batch = 2});
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
}

TEST(BatchLoader, may_end_before_its_batches) {
  const Counting data(1000);
  { const BatchLoader untouched(data, {.batch = 1, .epochs = 1000}); }
  {
    BatchLoader loader(data, {.batch = 1, .epochs = 1000});
    for (int b = 0; b < 10; ++b) EXPECT_TRUE(loader.next().has_value());
  }
  EXPECT_LE(data.copied, 100);  // it stages no further than its buffers
}

TEST(BatchLoader, a_wait_has_an_end) {
  const Counting data(10);
  data.stuck = true;
  BatchLoader loader(data, {.batch = 2, .timeout = milliseconds(20)});
  EXPECT_THAT([&] { static_cast<void>(loader.next()); },
              ThrowsMessage<DeviceError>(HasSubstr("no batch came for 20 ms")));
  data.stuck = false;
}

TEST(BatchLoader, says_who_waited_for_whom) {
  const Counting data(64);
  BatchLoader loader(data, {.batch = 1, .epochs = 1, .buffers = 4});
  int batches = 0;
  while (const auto batch = loader.next()) {
    std::this_thread::sleep_for(milliseconds(1));  // a slow consumer
    ++batches;
  }
  const InputCounters counters = loader.counters();
  EXPECT_EQ(batches, 64);
  EXPECT_EQ(counters.name, "decode");
  EXPECT_GT(counters.busy_seconds, 0);
  EXPECT_GT(counters.wait_seconds, 0.02);
  EXPECT_GT(counters.queue_mean, 1);
  EXPECT_LE(counters.queue_mean, 4);

  data.stuck = true;
  BatchLoader starved(data, {.batch = 1});
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(30));
    data.stuck = false;
  });
  EXPECT_TRUE(starved.next().has_value());
  later.join();
  EXPECT_GT(starved.counters().consumer_wait_seconds, 0.01);
}

}  // namespace
}  // namespace hadal
