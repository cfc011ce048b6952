#include "speech/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "testing/command.h"
#include "testing/shared_data.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// `bytes` outlive it.
ArchiveReader archive_of(const std::string& bytes) { return {std::as_bytes(std::span(bytes)), "a.ark"}; }
ArchiveReader archive_of(std::string&&) = delete;

FeatureMatrix counted(std::int64_t rows, std::int64_t columns) {
  FeatureMatrix matrix(rows, columns);
  std::iota(matrix.values.begin(), matrix.values.end(), -3.5f);
  return matrix;
}

template <typename T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return bytes;
}

std::string matrix_bytes(const std::string& kind, std::int32_t rows, std::int32_t columns, const std::string& values) {
  return "key " + std::string("\0B", 2) + kind + " \4" + raw({rows}) + "\4" + raw({columns}) + values;
}

std::string compressed_bytes(const std::string& kind, float least, float range, std::int32_t rows, std::int32_t columns,
                             const std::string& values) {
  return "key " + std::string("\0B", 2) + kind + " " + raw({least, range}) + raw({rows, columns}) + values;
}

TEST(Archive, what_was_written_is_read_in_order_and_by_the_index) {
  const testing::TemporaryFolder folder;
  const FeatureMatrix large = counted(3000, 40), small = counted(2, 3), empty;
  const std::vector<float> vector{1.5f, -2};
  const std::vector<std::int32_t> alignment{4, 4, 5, -1};
  ArchiveWriter writer(folder.path("a.ark"), folder.path("a.scp"), "a.ark");
  writer.write("first", large);
  writer.write("second", small, ArchiveNumber::f64);
  writer.write("v", std::span(vector));
  writer.write("d", std::span(vector), ArchiveNumber::f64);
  writer.write("ali", std::span(alignment));
  writer.write("none", empty);
  EXPECT_FALSE(std::filesystem::exists(folder.path("a.ark")));
  writer.commit();

  ArchiveReader reader(folder.path("a.ark"));
  EXPECT_EQ(reader.next_key(), "first");
  EXPECT_EQ(reader.matrix().values, large.values);
  EXPECT_EQ(reader.next_key(), "second");
  EXPECT_EQ(reader.matrix().values, small.values);
  EXPECT_EQ(reader.next_key(), "v");
  EXPECT_EQ(reader.vector(), vector);
  EXPECT_EQ(reader.next_key(), "d");
  EXPECT_EQ(reader.vector(), vector);
  EXPECT_EQ(reader.next_key(), "ali");
  EXPECT_EQ(reader.integers(), alignment);
  EXPECT_EQ(reader.next_key(), "none");
  EXPECT_EQ(reader.matrix().frames, 0);
  EXPECT_EQ(reader.next_key(), std::nullopt);

  const auto index = testing::lines(testing::contents(folder.path("a.scp")));
  ASSERT_EQ(index.size(), 6U);
  EXPECT_EQ(index[0], "first a.ark:6");
  const auto [file, offset] = split_archive_place(index[1].substr(index[1].find(' ') + 1));
  EXPECT_EQ(file, "a.ark");
  reader.seek(offset);
  EXPECT_EQ(reader.matrix().values, small.values);
}

// An alignment as Kaldi's programs read it, byte for byte.
TEST(Archive, integers_have_a_length_each) {
  const testing::TemporaryFolder folder;
  ArchiveWriter writer(folder.path("a.ark"));
  writer.write("u", std::span<const std::int32_t>(std::vector<std::int32_t>{7, 258}));
  writer.commit();
  EXPECT_EQ(testing::contents(folder.path("a.ark")), std::string("u \0B\4\2\0\0\0\4\7\0\0\0\4\2\1\0\0", 4 + 15));
}

TEST(Archive, compressed_by_column) {
  // Percentiles of the column: 0, 1/4, 3/4 and all of the range 0 to 65535.
  const std::string heads = raw<std::uint16_t>({0, 16384, 49151, 65535});
  const std::string reader_bytes =
      compressed_bytes("CM", 0, 65535, 5, 1, heads + std::string("\x00\x40\x80\xc0\xff", 5));
  auto reader = archive_of(reader_bytes);
  EXPECT_EQ(reader.next_key(), "key");
  const FeatureMatrix matrix = reader.matrix();
  const double expected[] = {0, 16384, 32767.5, 49151, 65535};
  ASSERT_EQ(matrix.frames, 5);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(matrix.values[i], expected[i], 0.02);
}

TEST(Archive, compressed_by_number) {
  const std::string two_bytes = compressed_bytes("CM2", -1, 2, 1, 3, raw<std::uint16_t>({0, 65535, 13107}));
  auto two = archive_of(two_bytes);
  EXPECT_TRUE(two.next_key());
  EXPECT_THAT(two.matrix().values, ElementsAre(-1, 1, ::testing::FloatNear(-0.6f, 1e-6f)));
  const std::string one_bytes = compressed_bytes("CM3", 10, 51, 2, 1, std::string("\x00\xff", 2));
  auto one = archive_of(one_bytes);
  EXPECT_TRUE(one.next_key());
  EXPECT_THAT(one.matrix().values, ElementsAre(10, 61));
}

TEST(Archive, text) {
  const std::string reader_bytes =
      "a  [\n  1 2.5 -3\n  4 5e1 6 ]\nv  [ 1 nan inf ]\nali 3 4 5 \nempty\nb [ 1 2; 3 4 ]\nnothing  [ ]\n";
  auto reader = archive_of(reader_bytes);
  EXPECT_EQ(reader.next_key(), "a");
  const FeatureMatrix a = reader.matrix();
  EXPECT_EQ(a.dim, 3);
  EXPECT_THAT(a.values, ElementsAre(1, 2.5f, -3, 4, 50, 6));
  EXPECT_EQ(reader.next_key(), "v");
  EXPECT_TRUE(std::isnan(reader.vector()[1]));
  EXPECT_EQ(reader.next_key(), "ali");
  EXPECT_THAT(reader.integers(), ElementsAre(3, 4, 5));
  EXPECT_EQ(reader.next_key(), "empty");
  EXPECT_THAT(reader.integers(), ElementsAre());
  EXPECT_EQ(reader.next_key(), "b");
  EXPECT_THAT(reader.matrix().values, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(reader.next_key(), "nothing");
  EXPECT_EQ(reader.matrix().frames, 0);
  EXPECT_EQ(reader.next_key(), std::nullopt);
}

TEST(Archive, bad_bytes_are_told_by_file_and_place) {
  const auto refused = [](const std::string& bytes, const char* message) {
    EXPECT_THAT(
        [&] {
          auto reader = archive_of(bytes);
          static_cast<void>(reader.next_key());
          reader.matrix();
        },
        ThrowsMessage<DataError>(HasSubstr(message)))
        << message;
  };
  // Far more than any memory has, in a few bytes.
  refused(matrix_bytes("FM", 2'000'000'000, 2'000'000'000, "1234"),
          "2000000000 rows of 2000000000 numbers are expected");
  refused(compressed_bytes("CM", 0, 1, 1, 2'000'000'000, "1234"), "but 4 bytes are left");
  refused(matrix_bytes("FM", 1, 2, "1234567"), "a.ark: at byte 19: the file ends within a value: 1 rows of 2 numbers");
  refused(matrix_bytes("FM", -1, 2, ""), "-1 rows of 2 numbers are no matrix");
  refused(matrix_bytes("FM", 2'000'000'000, 0, ""), "are no matrix");
  refused(matrix_bytes("FV", 1, 1, "1234"), "holds 'FV' where a matrix is expected");
  refused("key " + std::string("\0B", 2) + "nonsense", "a binary value does not say what it is");
  refused("key", "the file ends within a key");
  refused(std::string("\x7f\x45\x01", 3), "is not an archive of Kaldi's");
  refused("a [ 1 2\n 3 ]", "row 2 of a matrix has 1 numbers, those before have 2");
  refused("a [ 1 x ]", "'x' stands where a number is expected");
  refused("a [ 1 2", "the file ends within a value");
  refused("a 1 2", "'1' stands where a matrix begins with [");
  const std::string list_bytes("k \0B\4\xff\xff\xff\x7f", 9);
  auto list = archive_of(list_bytes);
  EXPECT_TRUE(list.next_key());
  EXPECT_THAT([&] { list.integers(); }, ThrowsMessage<DataError>(HasSubstr("the file ends within a value")));
}

TEST(Archive, an_offset_behind_the_end_is_told) {
  const std::string reader_bytes = "a [ 1 ]\n";
  auto reader = archive_of(reader_bytes);
  EXPECT_THAT([&] { reader.seek(100); }, ThrowsMessage<DataError>(HasSubstr("there is nothing at byte 100")));
}

// A folder that another toolkit wrote: compressed MFCC of three utterances.
TEST(Archive, kaldis_own) {
  const auto folder = testing::shared_folder() / "data/fixture_kaldi/lhotse_mini_librispeech2";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  std::ifstream index(folder / "feats.scp"), counts(folder / "utt2num_frames");
  std::string key, place, counted_key;
  std::int64_t frames = 0;
  int utterances = 0;
  ArchiveReader in_order(folder / "data/raw_mfcc_mini_librispeech2.1.ark");
  while (index >> key >> place && counts >> counted_key >> frames) {
    const auto [file, offset] = split_archive_place(place);
    ArchiveReader reader(folder / file);
    reader.seek(offset);
    const FeatureMatrix features = reader.matrix();
    EXPECT_EQ(features.frames, frames);
    EXPECT_EQ(features.dim, 13);
    for (const float value : features.values) ASSERT_LT(std::abs(value), 200);
    EXPECT_EQ(in_order.next_key(), key);
    EXPECT_EQ(in_order.matrix().values, features.values);
    ++utterances;
  }
  EXPECT_EQ(utterances, 3);
  EXPECT_EQ(in_order.next_key(), std::nullopt);
}

}  // namespace
}  // namespace hadal
