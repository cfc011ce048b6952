// Streamed sources: their order, splicing, memory, and what bad data does to them.

#include "data/shard_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "base/random.h"
#include "data/batch_loader.h"
#include "data/npy_writer.h"
#include "data/text_shard.h"
#include "tensor/safetensors.h"
#include "testing/shared_data.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

const Position kWhere{.file = "job.yaml", .line = 9, .column = 11};

std::unique_ptr<SampleSource> open_source(const DataSource& data, const Shape& input, std::int64_t buffer = 1024,
                                          BadSample on_bad_sample = BadSample::fail, std::int64_t classes = 5) {
  return open_data(data, {.input = input, .classes = classes, .buffer = buffer, .on_bad_sample = on_bad_sample});
}

struct Samples {
  std::vector<float> values;
  std::vector<std::int32_t> labels;
  bool operator==(const Samples&) const = default;
};

// All that a loader gives.
Samples read(const SampleSource& source, const BatchLoaderOptions& options) {
  BatchLoader loader(source, options);
  Samples all;
  while (const auto batch = loader.next()) {
    all.values.insert(all.values.end(), batch->samples().begin(), batch->samples().end());
    all.labels.insert(all.labels.end(), batch->labels().begin(), batch->labels().end());
  }
  return all;
}

Samples read_sequentially(const SampleSource& source) {
  return read(source, {.batch = 100, .order = SampleOrder::sequential});
}

// Shards of npy files: sample i of them all is {i, -i}, its label i % 5.
class NpyCorpus : public ::testing::Test {
 protected:
  NpyData write(const std::vector<std::int64_t>& sizes) {
    NpyData data{.features = {folder_.path("f*.npy")},
                 .labels = {folder_.path("l*.npy")},
                 .utterances = {},
                 .splice = {},
                 .where = kWhere};
    std::int64_t sample = 0;
    for (std::size_t s = 0; s < sizes.size(); ++s) {
      std::vector<float> features;
      std::vector<std::int8_t> labels;
      for (std::int64_t i = 0; i < sizes[s]; ++i, ++sample) {
        features.push_back(static_cast<float>(sample));
        features.push_back(-static_cast<float>(sample));
        labels.push_back(static_cast<std::int8_t>(sample % 5));
      }
      folder_.write(fmt::format("f{}.npy", s), npy_bytes({sizes[s], 2}, features));
      folder_.write(fmt::format("l{}.npy", s), npy_bytes({sizes[s]}, labels));
    }
    return data;
  }

  // Numbers of the samples in the order of an epoch; checks what belongs to each.
  static std::vector<std::int64_t> order(const SampleSource& source, std::uint64_t seed, std::int64_t epoch,
                                         std::int64_t batch = 64, std::int64_t first_batch = 0) {
    const Samples all = read(
        source, {.batch = batch, .seed = seed, .epochs = epoch + 1, .first_epoch = epoch, .first_batch = first_batch});
    std::vector<std::int64_t> numbers;
    for (std::size_t i = 0; i < all.labels.size(); ++i) {
      numbers.push_back(static_cast<std::int64_t>(all.values[2 * i]));
      EXPECT_EQ(all.values[2 * i + 1], -all.values[2 * i]);
      EXPECT_EQ(all.labels[i], numbers.back() % 5);
    }
    return numbers;
  }

  // Overwrites bytes of a file.
  void damage(const std::string& name, std::int64_t offset, const std::string& bytes) const {
    std::fstream file(folder_.path(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file << bytes;
    ASSERT_TRUE(file.flush());
  }

  TemporaryFolder folder_;
};

void expect_permutation(std::vector<std::int64_t> numbers, std::int64_t size) {
  ASSERT_EQ(numbers.size(), static_cast<std::size_t>(size));
  std::sort(numbers.begin(), numbers.end());
  for (std::int64_t i = 0; i < size; ++i) ASSERT_EQ(numbers[static_cast<std::size_t>(i)], i);
}

TEST_F(NpyCorpus, an_epochs_order_is_a_permutation_that_follows_from_seed_and_epoch) {
  const auto source = open_source(write({3000, 1, 999, 5000}), {2});
  EXPECT_EQ(source->size(), 9000);
  const auto first = order(*source, 7, 0);
  expect_permutation(first, 9000);
  expect_permutation(order(*source, 7, 1), 9000);
  EXPECT_EQ(order(*source, 7, 0), first);
  EXPECT_NE(order(*source, 7, 1), first);
  EXPECT_NE(order(*source, 8, 0), first);
}

TEST_F(NpyCorpus, the_order_does_not_depend_on_the_batch_or_on_where_a_run_goes_on) {
  const auto source = open_source(write({3000, 1, 999}), {2});
  for (const std::int64_t epoch : {0, 3}) {
    const auto whole = order(*source, 7, epoch);
    for (const std::int64_t batch : {1, 333, 1024, 5000}) EXPECT_EQ(order(*source, 7, epoch, batch), whole);
    for (const std::int64_t first_batch : {1, 15, 16, 17, 40, 62}) {
      EXPECT_EQ(order(*source, 7, epoch, 64, first_batch),
                std::vector<std::int64_t>(whole.begin() + 64 * first_batch, whole.end()));
    }
  }
  // Past the end of an epoch is in the next.
  const Samples both = read(*source, {.batch = 64, .seed = 7, .epochs = 2});
  const Samples second = read(*source, {.batch = 64, .seed = 7, .epochs = 2, .first_batch = 63});
  EXPECT_TRUE(std::equal(second.labels.begin(), second.labels.end(), both.labels.begin() + 4000));
}

// A change of these numbers changes every model that is trained on streamed data: it needs a version note in docs.
TEST_F(NpyCorpus, the_order_stays_what_it_was) {
  const auto numbers = order(*open_source(write({600, 1000}), {2}, 512), 1, 0);
  EXPECT_THAT(std::vector(numbers.begin(), numbers.begin() + 6), ElementsAre(324, 325, 353, 246, 193, 278));
}

TEST_F(NpyCorpus, windows_join_blocks_of_all_over_the_corpus) {
  // 80 blocks of 256; a window has 4 of them.
  const auto numbers = order(*open_source(write({10240, 10240}), {2}, 1024), 1, 0);
  std::set<std::set<std::int64_t>> windows;
  for (std::size_t w = 0; w < 20; ++w) {
    std::set<std::int64_t> blocks;
    for (std::size_t i = 0; i < 1024; ++i) blocks.insert(numbers[1024 * w + i] / 256);
    EXPECT_EQ(blocks.size(), 4u);
    EXPECT_GT(*blocks.rbegin() - *blocks.begin(), 3);
    windows.insert(blocks);
    // The samples of the window are mixed: none of its blocks is left for the end.
    std::set<std::int64_t> early;
    for (std::size_t i = 0; i < 100; ++i) early.insert(numbers[1024 * w + i] / 256);
    EXPECT_EQ(early.size(), 4u);
  }
  EXPECT_EQ(windows.size(), 20u);
}

TEST_F(NpyCorpus, what_fits_into_the_buffer_is_shuffled_as_a_whole) {
  const auto source = open_source(write({2, 1}), {2}, 3);
  std::map<std::vector<std::int64_t>, int> count;
  for (std::int64_t epoch = 0; epoch < 600; ++epoch) ++count[order(*source, 1, epoch)];
  EXPECT_EQ(count.size(), 6u);
  for (const auto& [numbers, times] : count) EXPECT_NEAR(times, 100, 40);
}

TEST_F(NpyCorpus, sequential_is_the_files_order) {
  const Samples all = read_sequentially(*open_source(write({700, 1, 300}), {2}, 300));
  ASSERT_EQ(all.labels.size(), 1001u);
  for (std::size_t i = 0; i < 1001; ++i) EXPECT_EQ(all.values[2 * i], static_cast<float>(i));
}

TEST_F(NpyCorpus, sizes_follow_from_the_buffer) {
  const auto is = [](BlockSizes sizes, std::int64_t block, std::int64_t window) {
    EXPECT_EQ(sizes.block, block);
    EXPECT_EQ(sizes.window, window);
  };
  is(block_sizes(262'144, 40), 4096, 262'144);
  is(block_sizes(10, 40), 10, 10);
  is(block_sizes(1000, 40), 256, 1000);
  is(block_sizes(1 << 30, 1), 65'536, 1 << 28);  // a window is at most 1 GiB as fp32,
  is(block_sizes(262'144, 154'587), 27, 1736);   // and a block 16 MiB
  is(block_sizes(262'144, std::int64_t{1} << 40), 1, 1);
}

TEST_F(NpyCorpus, a_loader_may_end_before_its_data_and_says_what_reading_took) {
  const auto source = open_source(write({5000}), {2}, 256);
  { const BatchLoader untouched(*source, {.batch = 10, .epochs = 1000}); }
  BatchLoader loader(*source, {.batch = 10, .epochs = 1000});
  for (int b = 0; b < 100; ++b) ASSERT_TRUE(loader.next().has_value());
  const auto stages = loader.stages();
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_EQ(stages[0].name, "read");
  EXPECT_GT(stages[0].busy_seconds, 0);
  EXPECT_LE(stages[0].queue_mean, 2);
  EXPECT_EQ(stages[1].name, "decode");
  EXPECT_GT(stages[1].busy_seconds, 0);
}

TEST_F(NpyCorpus, more_shards_than_a_process_may_open_files) {
  const auto source = open_source(write(std::vector<std::int64_t>(1500, 1)), {2}, 700);
  expect_permutation(order(*source, 1, 0), 1500);
}

TEST_F(NpyCorpus, fingerprints_differ_where_data_do) {
  const NpyData data = write({300, 200});
  const std::string before = open_source(data, {2})->fingerprint();
  EXPECT_THAT(before, HasSubstr("500 samples in 2 shards, checksum "));
  EXPECT_EQ(open_source(data, {2})->fingerprint(), before);
  damage("l1.npy", 128 + 199, std::string(1, '\0'));
  EXPECT_NE(open_source(data, {2})->fingerprint(), before);
  EXPECT_NE(open_source(write({299, 201}), {2})->fingerprint(), before);
}

// --- Splicing ---

struct Splicing {
  const char* name;
  Element element;
  std::int64_t left, right;
  bool utterances;
};
void PrintTo(const Splicing& splicing, std::ostream* out) { *out << splicing.name; }

class Splices : public ::testing::TestWithParam<Splicing> {};

TEST_P(Splices, are_those_of_a_plain_computation) {
  const auto [name, element, left, right, has_utterances] = GetParam();
  constexpr std::int64_t kFrame = 3;
  const TemporaryFolder folder;
  const RandomSequence random(3, RandomUse::self_test, 0);
  std::vector<std::vector<float>> expected;  // by sample
  NpyData data{.features = {folder.path("f*")},
               .labels = {folder.path("l*")},
               .utterances = {},
               .splice = {left, right},
               .where = {}};
  if (has_utterances) data.utterances = {folder.path("u*")};
  std::uint64_t draw = 0;
  std::int32_t sample = 0;
  for (int shard = 0; shard < 3; ++shard) {
    std::vector<std::int32_t> utterances, labels;
    std::vector<std::uint8_t> bytes;
    std::vector<float> values;
    std::vector<std::int64_t> begins, ends;  // by frame
    for (int u = 0; u < 60; ++u) {
      utterances.push_back(1 + static_cast<std::int32_t>(random.below(draw++, u % 7 == 0 ? 300 : 12)));
      const auto begin = static_cast<std::int64_t>(begins.size());
      begins.insert(begins.end(), static_cast<std::size_t>(utterances.back()), begin);
      ends.insert(ends.end(), static_cast<std::size_t>(utterances.back()), begin + utterances.back());
    }
    const auto frames = static_cast<std::int64_t>(begins.size());
    ASSERT_GT(frames, 600);  // more than two blocks
    for (std::int64_t i = 0; i < frames * kFrame; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(random.below(draw++, 256)));
      values.push_back(element == Element::u8 ? static_cast<float>(bytes.back()) / 255.0f
                                              : static_cast<float>(bytes.back()));
    }
    for (std::int64_t t = 0; t < frames; ++t) {
      labels.push_back(sample++);
      std::vector<float>& row = expected.emplace_back();
      const std::int64_t begin = has_utterances ? begins[static_cast<std::size_t>(t)] : 0;
      const std::int64_t end = has_utterances ? ends[static_cast<std::size_t>(t)] : frames;
      for (std::int64_t f = t - left; f <= t + right; ++f) {
        const std::int64_t from = std::clamp(f, begin, end - 1);
        for (std::int64_t k = 0; k < kFrame; ++k) row.push_back(values[static_cast<std::size_t>(from * kFrame + k)]);
      }
    }
    const std::string name_of_shard = std::to_string(shard);
    folder.write("f" + name_of_shard,
                 element == Element::u8 ? npy_bytes({frames, kFrame}, bytes) : npy_bytes({frames, kFrame}, values));
    folder.write("l" + name_of_shard, npy_bytes({frames, 1}, labels));
    folder.write("u" + name_of_shard, npy_bytes({60}, utterances));
  }
  const auto source = open_source(data, {(left + 1 + right) * kFrame}, 500, BadSample::fail, 1'000'000);
  ASSERT_EQ(source->size(), static_cast<std::int64_t>(expected.size()));
  for (const SampleOrder order : {SampleOrder::shuffled, SampleOrder::sequential}) {
    const Samples all = read(*source, {.batch = 50, .order = order});
    ASSERT_EQ(all.labels.size(), expected.size());
    for (std::size_t i = 0; i < all.labels.size(); ++i) {
      const std::vector<float>& row = expected[static_cast<std::size_t>(all.labels[i])];
      const auto begin = all.values.begin() + static_cast<std::ptrdiff_t>(i * row.size());
      ASSERT_EQ(std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(row.size())), row) << all.labels[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, Splices,
                         ::testing::Values(Splicing{"both_sides", Element::f32, 5, 5, true},
                                           Splicing{"of_bytes", Element::u8, 2, 4, true},
                                           Splicing{"left", Element::f32, 3, 0, true},
                                           Splicing{"right", Element::f32, 0, 3, true},
                                           Splicing{"longer_than_utterances", Element::f32, 100, 100, true},
                                           Splicing{"files_as_utterances", Element::f32, 5, 5, false},
                                           Splicing{"none", Element::f32, 0, 0, true}),
                         [](const auto& row) { return row.param.name; });

// --- Memory ---

std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return 1024 * kilobytes;
  }
  return 0;
}

TEST(ShardMemory, does_not_grow_with_the_corpus) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer keeps memory of its own";
#endif
  constexpr std::int64_t kFrames = 65'536, kElements = 40, kShards = 20;
  const TemporaryFolder folder;
  {
    const std::string frames = npy_header("<f4", {kFrames, kElements}) + std::string(kFrames * kElements * 4, '\0');
    const std::string labels = npy_header("|u1", {kFrames}) + std::string(kFrames, '\1');
    for (int s = 0; s < kShards; ++s) {
      folder.write(fmt::format("f{}", s), frames);
      folder.write(fmt::format("l{}", s), labels);
    }
  }
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
  const std::int64_t before = peak_memory_bytes();
  NpyData data{
      .features = {folder.path("f*")}, .labels = {folder.path("l*")}, .utterances = {}, .splice = {5, 5}, .where = {}};
  const auto source = open_source(data, {11 * kElements}, kFrames);  // the corpus is 20 times the buffer
  BatchLoader loader(*source, {.batch = 256, .epochs = 2});
  std::int64_t samples = 0;
  while (const auto batch = loader.next()) samples += batch->rows();
  EXPECT_EQ(samples, 2 * kShards * kFrames);
  const std::int64_t window = kFrames * kElements * 4;
  EXPECT_LT(peak_memory_bytes() - before, 2 * window + window / 2 + (4 << 20));
}

// --- Bad data ---

std::string number_bytes(float value) { return bytes_of_values(std::vector<float>{value}); }

TEST_F(NpyCorpus, a_label_out_of_range_is_told_by_file_and_place) {
  const NpyData data = write({300, 400});
  damage("l1.npy", 128 + 17, "\x07");
  const auto source = open_source(data, {2});
  EXPECT_THAT(
      [&] { order(*source, 1, 0); },
      ThrowsMessage<DataError>(folder_.path("l1.npy") +
                               ": at byte 145: label 7 of sample 17 is out of range: the network has 5 classes"));
  damage("l1.npy", 128 + 17, "\xff");
  EXPECT_THAT([&] { order(*source, 1, 0); }, ThrowsMessage<DataError>(HasSubstr("label -1 of sample 17")));
}

TEST_F(NpyCorpus, a_number_that_is_not_finite_is_told_by_file_and_place) {
  const NpyData data = write({300, 400});
  damage("f1.npy", 128 + 8 * 17 + 4, number_bytes(std::nanf("")));
  EXPECT_THAT(
      [&] { order(*open_source(data, {2}), 1, 0); },
      ThrowsMessage<DataError>(folder_.path("f1.npy") + ": at byte 268: number 1 of sample 17 is NaN or infinite"));
}

TEST_F(NpyCorpus, a_file_that_became_shorter_is_an_error) {
  const NpyData data = write({300, 400});
  const auto source = open_source(data, {2});
  fs::resize_file(folder_.path("f1.npy"), 2000);
  EXPECT_THAT([&] { order(*source, 1, 0); },
              ThrowsMessage<DataError>(AllOf(HasSubstr(folder_.path("f1.npy")), HasSubstr("the file ends here"))));
  fs::remove(folder_.path("f1.npy"));
  EXPECT_THAT([&] { order(*source, 1, 0); }, ThrowsMessage<DataError>(HasSubstr("No such file")));
}

// What replaces a bad sample: the next good one of the window, here the whole epoch, around its end.
TEST_F(NpyCorpus, skip_puts_the_next_good_sample_in_place_of_a_bad_one) {
  const NpyData data = write({300, 400});
  const auto good = order(*open_source(data, {2}), 1, 0);
  damage("l1.npy", 128 + 17, "\x07");                                                   // sample 317,
  damage("f0.npy", 128 + 8 * 5, number_bytes(std::numeric_limits<float>::infinity()));  // and 5
  damage("l0.npy", 128 + good[699] % 300, "\x09");  // of the last of the epoch, or another
  const std::set<std::int64_t> bad{317, 5, good[699] % 300};
  std::vector<std::int64_t> expected = good;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    for (std::size_t k = i; bad.contains(expected[i]); ++k) expected[i] = good[k % good.size()];
  }
  const auto source = open_source(data, {2}, 1024, BadSample::skip);
  EXPECT_EQ(order(*source, 1, 0), expected);
  EXPECT_EQ(source->skipped().samples.count, static_cast<std::int64_t>(bad.size()));
  EXPECT_THAT(source->skipped().samples.named.at(0), HasSubstr(folder_.path("")));
  // A run that goes on meets the same, and counts what it meets.
  const auto again = open_source(data, {2}, 1024, BadSample::skip);
  EXPECT_EQ(order(*again, 1, 0, 100, 3), std::vector<std::int64_t>(expected.begin() + 300, expected.end()));
  EXPECT_LE(again->skipped().samples.count, static_cast<std::int64_t>(bad.size()));
}

TEST_F(NpyCorpus, skip_leaves_a_block_out_that_cannot_be_read) {
  const NpyData data = write({600, 512});
  const auto source = open_source(data, {2}, 1024, BadSample::skip);
  fs::resize_file(folder_.path("f1.npy"), 128 + 8 * 300);  // its second block is cut
  const auto numbers = order(*source, 1, 0);
  ASSERT_EQ(numbers.size(), 1112u);
  const std::set<std::int64_t> seen(numbers.begin(), numbers.end());
  EXPECT_EQ(seen.size(), 856u);
  EXPECT_EQ(*seen.rbegin(), 855);
  EXPECT_EQ(source->skipped().samples.count, 256);
  EXPECT_THAT(source->skipped().samples.named.at(0), AllOf(HasSubstr("f1.npy"), HasSubstr("the file ends here")));
  EXPECT_EQ(order(*source, 1, 0), numbers);
}

TEST_F(NpyCorpus, skip_takes_another_window_where_none_of_one_is_good) {
  const NpyData data = write({256, 256, 256});
  damage("l1.npy", 128, std::string(256, '\x40'));
  const auto source = open_source(data, {2}, 256, BadSample::skip);
  const Samples all = read_sequentially(*source);
  ASSERT_EQ(all.labels.size(), 768u);
  for (std::size_t i = 256; i < 512; ++i) EXPECT_EQ(all.values[2 * i], static_cast<float>(i + 256));
  for (const int epoch : {0, 1, 2}) {
    EXPECT_EQ(order(*source, 1, epoch), order(*source, 1, epoch));
    EXPECT_EQ(order(*source, 1, epoch, 64, 5).size(), 448u);
  }
  damage("l0.npy", 128, std::string(256, '\x40'));
  damage("l2.npy", 128, std::string(256, '\x40'));
  EXPECT_THAT([&] { order(*source, 1, 0); }, ThrowsMessage<DataError>(HasSubstr("no sample of the data can be read")));
}

TEST_F(NpyCorpus, a_frame_that_is_not_finite_spoils_the_samples_it_is_spliced_to) {
  NpyData data = write({600});
  data.splice = {2, 1};
  damage("f0.npy", 128 + 8 * 255, number_bytes(std::nanf("")));  // at the end of a block
  const auto source = open_source(data, {8}, 1024, BadSample::skip);
  const Samples all = read_sequentially(*source);
  EXPECT_EQ(source->skipped().samples.count, 4);  // 254 to 257
  EXPECT_TRUE(std::all_of(all.values.begin(), all.values.end(), [](float value) { return std::isfinite(value); }));
}

TEST_F(NpyCorpus, skip_leaves_out_a_shard_whose_header_is_damaged) {
  const NpyData data = write({300, 400, 500});
  damage("f1.npy", 0, "XX");
  EXPECT_THAT([&] { open_source(data, {2}); },
              ThrowsMessage<DataError>(HasSubstr(folder_.path("f1.npy") + ": at byte 0: is not a .npy file")));
  const auto source = open_source(data, {2}, 1024, BadSample::skip);
  EXPECT_EQ(source->size(), 800);
  EXPECT_THAT(source->skipped().files.named, ElementsAre(HasSubstr("f1.npy")));
  EXPECT_EQ(order(*source, 1, 0).size(), 800u);
  damage("f0.npy", 0, "XX");
  damage("f2.npy", 0, "XX");
  EXPECT_THAT([&] { open_source(data, {2}, 1024, BadSample::skip); },
              ThrowsMessage<DataError>(AllOf(HasSubstr("f0.npy"), HasSubstr("no shard is left"))));
}

// --- What does not fit ---

template <class Wrong>
void expect_refused(const DataSource& data, const Shape& input, const std::string& message) {
  EXPECT_THAT([&] { open_source(data, input); }, ThrowsMessage<Wrong>(HasSubstr(message)));
}

TEST_F(NpyCorpus, files_that_are_not_there) {
  NpyData data = write({3});
  data.labels = {folder_.path("gone.npy")};
  expect_refused<ConfigError>(data, {2}, "job.yaml:9:11: cannot open " + folder_.path("gone.npy") + ": No such file");
  data.labels = {folder_.path("gone*.npy")};
  expect_refused<ConfigError>(data, {2}, "job.yaml:9:11: no file fits the pattern " + folder_.path("gone*.npy"));
  data.labels = {folder_.path("l0.npy"), folder_.path("l0.npy")};
  expect_refused<ConfigError>(data, {2}, "job.yaml:9:11: there are 1 files of features and 2 of labels");
}

TEST_F(NpyCorpus, arrays_that_do_not_fit) {
  NpyData data = write({3});
  expect_refused<DataError>(data, {3},
                            folder_.path("f0.npy") + ": is [3, 2]: 2 numbers a sample, but the network's input has 3");
  data.splice = {1, 1};
  expect_refused<DataError>(data, {9}, "2 numbers a frame, but the network's input has 9, 3 frames of 3");
  expect_refused<ConfigError>(data, {8}, "job.yaml:9:11: splice: the network's input, 8, is not 3 frames of one size");
  data.splice = {};
  const auto refused = [&](const std::string& features, const std::string& labels, const std::string& message) {
    folder_.write("f0.npy", features);
    folder_.write("l0.npy", labels);
    expect_refused<DataError>(data, {2}, message);
  };
  const std::string features = npy_bytes<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const std::string labels = npy_bytes<std::int32_t>({3}, {1, 2, 3});
  refused(npy_bytes<float>({3}, {1, 2, 3}), labels, "f0.npy: is [3]: features have two dimensions or more");
  refused(npy_header("<f4", {0, 2}), npy_header("<i4", {0}), "f0.npy: holds no samples");
  refused(features, npy_bytes<std::int32_t>({2}, {1, 2}), "l0.npy: has 2 labels for the 3 samples of ");
  refused(features, npy_bytes<float>({3}, {1, 2, 3}), "l0.npy: is of f32: labels are whole numbers");
  refused(features, npy_bytes<std::int32_t>({1, 3}, {1, 2, 3}), "l0.npy: is [1, 3]: labels are [N]");
  refused(features.substr(0, 140), labels, "f0.npy: ends after 140 of 152 bytes");
  folder_.write("f0.npy", features);
  folder_.write("f1.npy", npy_bytes<double>({3, 2}, {1, 2, 3, 4, 5, 6}));
  folder_.write("l0.npy", labels);
  folder_.write("l1.npy", labels);
  expect_refused<DataError>(data, {2}, "f1.npy: is of f64, but the shards before it of f32");
}

TEST_F(NpyCorpus, utterances_that_do_not_fit) {
  NpyData data = write({30});
  data.splice = {1, 1};
  data.utterances = {folder_.path("u.npy")};
  const auto refused = [&](const std::vector<std::int64_t>& lengths, const std::string& message) {
    folder_.write("u.npy", npy_bytes({static_cast<std::int64_t>(lengths.size())}, lengths));
    expect_refused<DataError>(data, {6}, message);
  };
  refused({10, 19}, "u.npy: its 2 utterances do not have the 30 frames of " + folder_.path("f0.npy") + " together");
  refused({10, 21}, "its 2 utterances do not have the 30 frames");
  refused({10, 20, 1}, "its 3 utterances do not have the 30 frames");
  refused({10, INT64_MAX, INT64_MAX}, "its 3 utterances do not have the 30 frames");
  refused({30, 0}, "u.npy: at byte 136: utterance 1 has 0 frames; each has one or more");
  refused({-1, 31}, "utterance 0 has -1 frames");
}

// --- safetensors ---

TEST(SafetensorsSource, reads_tensors_by_their_names) {
  const TemporaryFolder folder;
  const std::vector<float> frames{1, 2, 3, 4, 5};
  const std::vector<std::int32_t> labels{0, 1, 2, 3, 4}, lengths{2, 3};
  write_safetensors(folder.path("a"), {},
                    {{"lengths", DType::i32, {2}, std::as_bytes(std::span(lengths))},
                     {"labels", DType::i32, {5, 1}, std::as_bytes(std::span(labels))},
                     {"x", DType::f32, {5, 1, 1}, std::as_bytes(std::span(frames))}});
  SafetensorsData data{
      .files = {folder.path("a")}, .features = "x", .utterances = "lengths", .splice = {1, 1}, .where = kWhere};
  const Samples all = read_sequentially(*open_source(data, {3}));
  EXPECT_EQ(all.labels, labels);
  EXPECT_THAT(all.values, ElementsAre(1, 1, 2, 1, 2, 2, 3, 3, 4, 3, 4, 5, 4, 5, 5));
  data.features = "features";
  expect_refused<DataError>(data, {3}, folder.path("a") + ": has no tensor 'features'; it has lengths, labels, x");
  data.features = "x";
  data.labels = "x";
  expect_refused<DataError>(data, {3}, folder.path("a") + ": tensor 'x' is [5, 1, 1]: labels are [N]");
  data.files = {folder.path("gone")};
  expect_refused<ConfigError>(data, {3}, "job.yaml:9:11: cannot open " + folder.path("gone"));
  data.files = {folder.write("b", "no tensors here")};
  expect_refused<DataError>(data, {3}, folder.path("b") + ": at byte 0: is not a safetensors file");
}

// --- Text ---

TEST(LibsvmSource, reads_sparse_lines) {
  const TemporaryFolder folder;
  LibsvmData data{
      .files = {folder.write("a", "# a comment\n+1 1:0.5 3:2\n\n-1 2:1 # x\r\n"), folder.write("b", "1\n-1 3:4")},
      .where = kWhere};
  const Samples all = read_sequentially(*open_source(data, {3}));
  EXPECT_THAT(all.labels, ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(all.values, ElementsAre(0.5f, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 4));
}

TEST(LibsvmSource, what_is_wrong_is_told_by_line_and_column) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text, const std::string& message) {
    const LibsvmData data{.files = {folder.write("a", text)}, .where = kWhere};
    EXPECT_THAT([&] { read_sequentially(*open_source(data, {3})); },
                ThrowsMessage<DataError>(folder.path("a") + message));
  };
  refused("1 1:2\n\n# c\n0 1:2 4:1\n", ":4:7: index 4 is past the 3 numbers of the network's input");
  refused("1 1:2\n5 1:1\n", ":2:1: label 5 is out of range: the network has 5 classes");
  refused("1 1:2\n-2 1:1\n", ":2:1: label -2 is out of range: the network has 5 classes");
  refused("-1 1:2\n1 1:1\n0 1:1\n", ":3: label 0 stands beside label -1 of " + folder.path("a") +
                                        ":1; labels are all 0, 1, ... or all -1 and +1");
  refused("# nothing\n\n", ": holds no samples");
  refused("", ": holds no samples");
  refused("\x1f\x8b\x08 1:2\n", ": is compressed; unpack it first: gunzip " + folder.path("a"));
  refused("1 1:2\n" + std::string(kLongestLine + (2 << 20), '1'), ":2:1: is longer than 16,777,216 bytes");
}

TEST(LibsvmSource, skip_replaces_lines_that_cannot_be_read) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += i % 100 == 42 ? "oops\n" : fmt::format("{} 1:{}\n", i % 5, i);
  const LibsvmData data{.files = {folder.write("a", text)}};
  const auto source = open_source(data, {1}, 256, BadSample::skip);
  const Samples all = read_sequentially(*source);
  ASSERT_EQ(all.labels.size(), 1000u);
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(all.values[static_cast<std::size_t>(i)], static_cast<float>(i % 100 == 42 ? i + 1 : i));
  EXPECT_EQ(source->skipped().samples.count, 10);
  EXPECT_EQ(source->skipped().samples.named.at(0), folder.path("a") + ":43:1: the label 'oops' is not a whole number");
}

TEST(LibsvmSource, a_file_that_changed_is_an_error) {
  const TemporaryFolder folder;
  const LibsvmData data{.files = {folder.write("a", "1 1:2\n0 1:3\n")}};
  const auto source = open_source(data, {1});
  folder.write("a", "1 1:2\n0 1:\n");
  EXPECT_THAT([&] { read_sequentially(*source); },
              ThrowsMessage<DataError>(folder.path("a") + ": ends after 11 bytes, but had 12 when it was opened"));
  folder.write("a", "1 1:22222222\n");
  EXPECT_THAT([&] { read_sequentially(*source); },
              ThrowsMessage<DataError>(folder.path("a") + ": has changed since it was opened"));
}

TEST(LibsvmSource, heart_scale) {
  const auto path = testing::shared_folder() / "data/fixture_libsvm/heart_scale";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const Samples all = read_sequentially(*open_source(LibsvmData{.files = {path}}, {13}, 1024, BadSample::fail, 2));
  ASSERT_EQ(all.labels.size(), 270u);
  EXPECT_EQ(std::accumulate(all.labels.begin(), all.labels.end(), 0), 120);
  EXPECT_FLOAT_EQ(all.values[0], 0.708333f);
  EXPECT_FLOAT_EQ(all.values[10], 0);  // it has no 11
  EXPECT_FLOAT_EQ(all.values[12], -1);
}

Samples read_csv(const TemporaryFolder& folder, const std::string& text, CsvData data = {}, std::int64_t values = 2) {
  data.files = {folder.write("a.csv", text)};
  data.where = kWhere;
  return read_sequentially(*open_source(data, {values}));
}

TEST(CsvSource, headers_and_columns) {
  const TemporaryFolder folder;
  const Samples expected{{1, 2, 3, 4}, {0, 1}};
  EXPECT_EQ(read_csv(folder, "1,2,0\n3,4,1"), expected);
  EXPECT_EQ(read_csv(folder, "\n\na,b,c\r\n1,2,0\r\n\r\n3,4,1\r\n"), expected);
  EXPECT_EQ(read_csv(folder,
                     "\xef\xbb\xbf"
                     "1,2,0\n3,4,1\n"),
            expected);
  EXPECT_EQ(read_csv(folder, "c;\"a;\";b\n0;1;2\n1;3;4\n", {.label = "c", .delimiter = CsvDelimiter::semicolon}),
            expected);
  EXPECT_EQ(read_csv(folder, "1\t0\t2\n3\t1\t4\n", {.label = "2", .delimiter = CsvDelimiter::tab}), expected);
  EXPECT_EQ(read_csv(folder, "7,8,9\n1,2,0\n3,4,1\n", {.header = CsvHeader::first_line}), expected);
}

TEST(CsvSource, what_is_wrong_is_told_by_line_and_column) {
  const TemporaryFolder folder;
  const std::string file = folder.path("a.csv");
  const auto refused = [&](const std::string& text, const std::string& message, const CsvData& data = {}) {
    EXPECT_THAT([&] { read_csv(folder, text, data); }, ThrowsMessage<DataError>(file + message));
  };
  refused("a,b,c\n1,2,0\n3,4\n", ":3:4: the line ends after 2 of 3 columns");
  refused("1,2,0\n3,4,1,5\n", ":2:7: there are more than 3 columns");
  refused("1,2,0\n\n3,x,1\n", ":3:3: 'x' is not a number");
  refused("1,2,0\n3,nan,1\n", ":2:3: 'nan' is not finite");
  refused("1,2,5\n", ":1:1: label 5 is out of range: the network has 5 classes");
  refused("1,2,-1\n", ":1:1: label -1 is out of range: the network has 5 classes");
  refused("1,2,3,4\n", ":1: has 4 columns; the network's input has 2 numbers, and the label is one more");
  refused("a,b,c\n1,2,0\n", ":1:1: 'a' is not a number", {.header = CsvHeader::none});
  refused("a,b,\"c\n\"\n1,2,0\n", ":1:5: a quote begins here and does not end in the line");
  refused("a,b,c\n", ": holds no samples");
  refused("", ": holds no samples");
  EXPECT_THAT([&] { read_csv(folder, "a,b,c\n1,2,0\n", {.label = "d"}); },
              ThrowsMessage<ConfigError>("job.yaml:9:11: label: " + file + " has no column named 'd'"));
  EXPECT_THAT([&] { read_csv(folder, "1,2,0\n", {.label = "d"}); },
              ThrowsMessage<ConfigError>(HasSubstr("its first line has no names")));
  EXPECT_THAT([&] { read_csv(folder, "1,2,0\n", {.label = "4"}); },
              ThrowsMessage<ConfigError>(HasSubstr("has no column 4; it has 3")));
}

TEST(CsvSource, many_blocks_of_many_lengths) {
  const TemporaryFolder folder;
  std::string text = "x,label\n";
  for (int i = 0; i < 5000; ++i) text += fmt::format("{}{},{}\n", i % 3 == 0 ? "\n" : "", i, i % 5);
  const CsvData data{.files = {folder.write("a.csv", text), folder.write("b.csv", "x,label\n5000,0\n")}};
  const auto source = open_source(data, {1}, 600);
  ASSERT_EQ(source->size(), 5001);
  const Samples all = read(*source, {.batch = 32, .seed = 5});
  std::vector<std::int64_t> numbers(all.values.begin(), all.values.end());
  for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(all.labels[i], numbers[i] % 5);
  expect_permutation(numbers, 5001);
}

// --- Speed ---

TEST(ShardSpeed, frames_a_second_of_one_core) {
  constexpr std::int64_t kFrames = 500'000, kElements = 40;
  const TemporaryFolder folder;
  folder.write("f", npy_header("<f4", {kFrames, kElements}) + std::string(kFrames * kElements * 4, '\0'));
  folder.write("l", npy_header("|u1", {kFrames}) + std::string(kFrames, '\1'));
  const NpyData data{
      .features = {folder.path("f")}, .labels = {folder.path("l")}, .utterances = {}, .splice = {5, 5}, .where = {}};
  const auto source = open_source(data, {11 * kElements}, 262'144);
  BatchLoader loader(*source, {.batch = 256, .epochs = 2});
  std::int64_t samples = 0;
  const auto begin = std::chrono::steady_clock::now();
  const std::clock_t cpu_begin = std::clock();
  while (const auto batch = loader.next()) samples += batch->rows();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // By the processor's time of both threads: whatever else the machine does.
  const double rate = static_cast<double>(samples) * CLOCKS_PER_SEC / static_cast<double>(std::clock() - cpu_begin);
  fmt::print("{:.0f} frames/s per core (40 floats each, spliced to 440); {:.0f} frames/s in all\n", rate,
             static_cast<double>(samples) / seconds);
  RecordProperty("frames_per_second_per_core", static_cast<int>(rate));
#if !defined(HADAL_SANITIZED) && defined(__OPTIMIZE__)
  EXPECT_GT(rate, 100'000);
#endif
}

}  // namespace
}  // namespace hadal
