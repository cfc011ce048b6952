#include "data/idx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/idx_writer.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

std::string header_error(const std::string& bytes, std::uint64_t file_size, IdxContent content) {
  const auto all = std::as_bytes(std::span(bytes));
  try {
    parse_idx_header(all.first(std::min(all.size(), kIdxHeaderLimit)), file_size, "f", content);
    return "none";
  } catch (const DataError& error) {
    return error.what();
  }
}

struct BadIdx {
  const char* name;
  IdxContent content;
  std::string bytes;
  std::uint64_t file_size;
  std::string error;
};

class BadIdxHeader : public ::testing::TestWithParam<BadIdx> {};

TEST_P(BadIdxHeader, is_a_data_error_that_says_why) {
  EXPECT_EQ(header_error(GetParam().bytes, GetParam().file_size, GetParam().content), GetParam().error);
}

constexpr IdxContent kImages = IdxContent::images, kLabels = IdxContent::labels;

INSTANTIATE_TEST_SUITE_P(
    headers, BadIdxHeader,
    ::testing::Values(
        BadIdx{"empty", kImages, "", 0, "f: ends after 0 of 4 bytes of its header"},
        BadIdx{"cut_magic", kImages, std::string(3, '\0'), 3, "f: ends after 3 of 4 bytes of its header"},
        BadIdx{"cut_dimensions", kImages, idx_bytes({5, 2, 2}, "").substr(0, 15), 15,
               "f: ends after 15 of 16 bytes of its header"},
        BadIdx{"compressed", kImages, "\x1f\x8b\x08", 1000, "f: is compressed; unpack it first: gunzip f"},
        BadIdx{"png", kImages, "\x89PNG\r\n", 6,
               "f: at byte 0: is not an IDX file: the magic number is 0x89504e47, expected 0x00000803 (images)"},
        BadIdx{"unknown_type", kLabels, idx_bytes({1}, "x", 7), 9,
               "f: at byte 0: is not an IDX file: the magic number is 0x00000701, expected 0x00000801 (labels)"},
        BadIdx{"rank_0", kImages, idx_bytes({}, "x"), 5,
               "f: at byte 0: is not an IDX file: the magic number is 0x00000800, expected 0x00000803 (images)"},
        BadIdx{"floats", kImages, idx_bytes({1, 1}, "1234", 0x0D), 16,
               "f: at byte 2: holds 32-bit floats; only unsigned bytes (0x08) are read"},
        BadIdx{"labels_for_images", kImages, idx_bytes({2}, "12"), 10,
               "f: at byte 3: holds labels where images are expected; are data's images and labels swapped?"},
        BadIdx{"images_for_labels", kLabels, idx_bytes({1, 2}, "12"), 14,
               "f: at byte 3: holds images where labels are expected; are data's images and labels swapped?"},
        BadIdx{"no_images", kImages, idx_bytes({0, 28, 28}, ""), 16, "f: at byte 4: holds no images"},
        BadIdx{"no_labels", kLabels, idx_bytes({0}, ""), 8, "f: at byte 4: holds no labels"},
        BadIdx{"empty_images", kImages, idx_bytes({5, 0, 28}, ""), 16,
               "f: at byte 8: its images are empty: the dimensions are [5, 0, 28]"},
        BadIdx{"too_large", kImages, idx_bytes({0xffffffff, 0xffffffff, 0xffffffff}, ""), 16,
               "f: at byte 4: its dimensions [4294967295, 4294967295, 4294967295] are too large"},
        BadIdx{"wraps_to_what_is_there", kImages, idx_bytes({0x80000000, 0x80000000, 4}, ""), 16,
               "f: at byte 4: its dimensions [2147483648, 2147483648, 4] are too large"},
        BadIdx{"truncated", kImages, idx_bytes({60000, 28, 28}, ""), 31204112,
               "f: ends after 31,204,112 of 47,040,016 bytes (image 39,801 is incomplete)"},
        BadIdx{"truncated_between_images", kImages, idx_bytes({60000, 28, 28}, ""), 16 + 784 * 1000,
               "f: ends after 784,016 of 47,040,016 bytes (image 1,000 is missing)"},
        BadIdx{"truncated_labels", kLabels, idx_bytes({10}, "1234"), 12,
               "f: ends after 12 of 18 bytes (label 4 is missing)"},
        BadIdx{"extra_bytes", kImages, idx_bytes({2, 1, 2}, "12345"), 21,
               "f: at byte 20: 1 bytes follow the last of 2 images"}),
    [](const auto& row) { return row.param.name; });

TEST(IdxFile, any_rank_of_images) {
  const TemporaryFolder folder;
  const IdxFile vectors(folder.write("rank2", idx_bytes({2, 3}, "abcdef")), kImages, {});
  EXPECT_EQ(vectors.header().shape, (Shape{2, 3}));
  EXPECT_THAT(vectors.sample(1), ElementsAre('d', 'e', 'f'));
  const IdxFile colour(folder.write("rank4", idx_bytes({1, 3, 1, 2}, "abcdef")), kImages, {});
  EXPECT_EQ(colour.size(), 1);
  EXPECT_THAT(colour.sample(0), ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  // A header longer than the values that follow it.
  std::vector<std::uint32_t> ones(255, 1);
  ones[0] = 2;
  const IdxFile deep(folder.write("rank255", idx_bytes(ones, "xy")), kImages, {});
  EXPECT_THAT(deep.sample(1), ElementsAre('y'));
}

TEST(IdxFile, a_missing_file_is_the_users_error_and_its_gz_is_pointed_at) {
  const TemporaryFolder folder;
  const std::string path = folder.path("train-images");
  const Position where{.file = "job.yaml", .line = 9, .column = 11};
  EXPECT_THAT([&] { IdxFile(path, kImages, where); },
              ThrowsMessage<ConfigError>("job.yaml:9:11: cannot open " + path + ": No such file or directory"));
  folder.write("train-images.gz", "\x1f\x8b");
  EXPECT_THAT([&] { IdxFile(path, kImages, where); },
              ThrowsMessage<ConfigError>("job.yaml:9:11: cannot open " + path + ": No such file or directory; unpack " +
                                         path + ".gz first (gunzip)"));
  EXPECT_THAT([&] { IdxFile(path + ".gz", kImages, where); },
              ThrowsMessage<DataError>(path + ".gz: is compressed; unpack it first: gunzip " + path + ".gz"));
}

}  // namespace
}  // namespace hadal
