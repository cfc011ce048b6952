#include "data/npy_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "data/npy_writer.h"
#include "testing/command.h"
#include "testing/shared_data.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

NpyHeader parse(const std::string& bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  return parse_npy_header(all.first(std::min(all.size(), kNpyHeaderLimit)), bytes.size(), "f");
}

// A file of version 1 with this header.
std::string with_header(const std::string& header, const std::string& values = "") {
  std::string bytes = std::string("\x93NUMPY\x01\x00", 8);
  bytes += {static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  return bytes + header + values;
}

TEST(NpyFile, types_shapes_and_versions) {
  for (const int version : {1, 2, 3}) {
    const std::string header = npy_header("<f4", {3, 2}, version);
    const NpyHeader npy = parse(header + std::string(24, 'x'));
    EXPECT_EQ(npy.element, Element::f32);
    EXPECT_EQ(npy.shape, (Shape{3, 2}));
    EXPECT_EQ(npy.size, header.size());
  }
  EXPECT_EQ(parse(npy_bytes<std::int64_t>({2}, {1, 2})).element, Element::i64);
  EXPECT_EQ(parse(npy_bytes<std::uint8_t>({1, 1, 2}, {1, 2})).shape, (Shape{1, 1, 2}));
  EXPECT_EQ(parse(with_header("{\"shape\":(2),'fortran_order':False,\"descr\":'<f2'}\n", "1234")).shape, (Shape{2}));
  EXPECT_EQ(parse(with_header("{'descr': '<f8', 'shape': (), 'fortran_order': False}", "12345678")).shape, (Shape{}));
  EXPECT_EQ(parse(npy_header("<f4", {0, 40})).shape, (Shape{0, 40}));
}

struct BadNpy {
  const char* name;
  std::string bytes, error;
};
void PrintTo(const BadNpy& bad, std::ostream* out) { *out << bad.name; }

class Refused : public ::testing::TestWithParam<BadNpy> {};

TEST_P(Refused, is_told_by_file_and_place) {
  EXPECT_THAT([] { parse(GetParam().bytes); }, ThrowsMessage<DataError>(HasSubstr(GetParam().error)));
}

const std::string kGood = npy_bytes<float>({2, 3}, {1, 2, 3, 4, 5, 6});

INSTANTIATE_TEST_SUITE_P(
    NpyFile, Refused,
    ::testing::Values(
        BadNpy{"empty", "", "f: at byte 0: is not a .npy file"},
        BadNpy{"another_format", "{\"a\": 1}", "f: at byte 0: is not a .npy file: it does not begin with"},
        BadNpy{"archive", "PK\x03\x04", "is a .npz archive"},
        BadNpy{"cut_in_magic", kGood.substr(0, 7), "ends after 7"},
        BadNpy{"cut_in_length", kGood.substr(0, 9), "f: ends after 9 of 10 bytes of its header"},
        BadNpy{"cut_in_header", kGood.substr(0, 60), "f: ends after 60 of 128 bytes of its header"},
        BadNpy{"version", std::string("\x93NUMPY\x04\x00\x00\x00", 10), "f: at byte 6: is of version 4"},
        BadNpy{"header_without_end", std::string("\x93NUMPY\x02\x00\xff\xff\xff\x7f", 12), "bytes of its header"},
        BadNpy{"cut_in_values", kGood.substr(0, kGood.size() - 1),
               "f: ends after 151 of 152 bytes: it holds [2, 3] of f32"},
        BadNpy{"too_long", kGood + "x", "f: at byte 152: 1 bytes follow the array"},
        BadNpy{"fortran", with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (0,)}"), "ascontiguousarray"},
        BadNpy{"big_endian", npy_header(">f4", {0}), "byteorder"},
        BadNpy{"complex", npy_header("<c8", {0}), "holds '<c8'"},
        BadNpy{"records", with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0,)}"), "records"},
        BadNpy{"no_shape", with_header("{'descr': '<f4', 'fortran_order': False}"), "the header has no 'shape'"},
        BadNpy{"twice", with_header("{'descr': '<f4', 'descr': '<f4', 'shape': ()}"), "has 'descr' twice"},
        BadNpy{"unknown_key", with_header("{'order': 1}"), "f: at byte 11: the header has an unknown key 'order'"},
        BadNpy{"negative", npy_header("<f4", {-1}), "a dimension is not a whole number"},
        BadNpy{"not_a_dict", with_header("[1]"), "f: at byte 10: the header is not a dict"},
        BadNpy{"text_without_end", with_header("{'descr"), "does not end"},
        BadNpy{"more_than_a_dict", with_header("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x"),
               "more in the header"},
        BadNpy{"too_large", npy_header("<f8", {INT64_MAX, 2}), "is too large"},
        BadNpy{"wraps_around", npy_header("<f8", {std::int64_t{1} << 62, 4}), "is too large"}),
    [](const auto& row) { return row.param.name; });

TEST(NpyFile, one_of_numpys) {
  const auto path = testing::shared_folder() / "data/fixture_tensorfiles/candle_test.npy";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const NpyHeader npy = parse(testing::contents(path));
  EXPECT_EQ(npy.element, Element::i64);
  EXPECT_EQ(npy.shape, (Shape{10}));
}

}  // namespace
}  // namespace hadal
