#include "tensor/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "testing/shared_data.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

constexpr std::uint64_t kLimit = 1'000'000;

// A file with this header and so many bytes of data.
std::vector<std::byte> file_of(const std::string& header, std::size_t data_size) {
  std::string text(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(text.data(), &length, 8);
  text += header;
  for (std::size_t i = 0; i < data_size; ++i) text += static_cast<char>(i);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string parse_error(std::vector<std::byte> bytes) {
  try {
    SafetensorsFile::parse("m.safetensors", std::move(bytes));
    return "none";
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(Safetensors, what_is_written_is_read_back) {
  const TemporaryFolder folder;
  const std::array<float, 6> weight{1, -2, 3.5f, 1e-40f, 5, -0.0f};
  const std::array<double, 2> sums{0.1, -1e300};
  const std::array<std::int32_t, 3> counts{-1, 0, INT32_MAX};
  const std::array<std::uint8_t, 5> pixels{0, 1, 128, 254, 255};
  const float scalar = 42;
  const std::string path = folder.path("model.safetensors");
  write_safetensors(path, {{"network", "{\"a\": \"\\\"\"}"}, {"empty", ""}},
                    {{"pixels", DType::u8, {5}, std::as_bytes(std::span(pixels))},
                     {"fc.weight", DType::f32, {2, 3}, std::as_bytes(std::span(weight))},
                     {"sums", DType::f64, {2}, std::as_bytes(std::span(sums))},
                     {"nothing", DType::f32, {0, 3}, {}},
                     {"counts", DType::i32, {3, 1}, std::as_bytes(std::span(counts))},
                     {"scalar", DType::f32, {}, std::as_bytes(std::span(&scalar, 1))}});

  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.metadata(), (Metadata{{"network", "{\"a\": \"\\\"\"}"}, {"empty", ""}}));
  EXPECT_THAT(file.names(), ElementsAre("pixels", "fc.weight", "sums", "nothing", "counts", "scalar"));
  std::array<float, 6> read{};
  file.copy_floats("fc.weight", {2, 3}, read);
  EXPECT_EQ(std::memcmp(read.data(), weight.data(), sizeof(weight)), 0);
  const TensorData data = file.tensor("sums");
  EXPECT_EQ(data.type, DType::f64);
  EXPECT_EQ(data.shape, (Shape{2}));
  ASSERT_EQ(data.bytes.size(), sizeof(sums));
  EXPECT_EQ(std::memcmp(data.bytes.data(), sums.data(), sizeof(sums)), 0);
  EXPECT_EQ(std::memcmp(file.tensor("counts").bytes.data(), counts.data(), sizeof(counts)), 0);
  EXPECT_EQ(file.tensor("pixels").type, DType::u8);
  EXPECT_EQ(file.tensor("nothing").bytes.size(), 0u);
  EXPECT_EQ(file.tensor("scalar").shape, Shape{});
}

TEST(Safetensors, the_bytes_are_those_of_the_format) {
  const TemporaryFolder folder;
  const std::array<std::uint8_t, 2> values{7, 9};
  const std::string path = folder.path("m");
  write_safetensors(path, {{"b", "2"}, {"a", "1"}}, {{"t", DType::u8, {2}, std::as_bytes(std::span(values))}});
  std::string header = R"({"__metadata__":{"a":"1","b":"2"},"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  header.resize(88, ' ');  // the next multiple of 8
  EXPECT_EQ(read_file(path, kLimit), std::string("\x58\0\0\0\0\0\0\0", 8) + header + "\x07\x09");
}

TEST(Safetensors, equal_tensors_make_equal_files) {
  const TemporaryFolder folder;
  const std::array<float, 2> values{1, 2};
  const std::vector<TensorData> tensors{{"t", DType::f32, {2}, std::as_bytes(std::span(values))}};
  write_safetensors(folder.path("one"), {{"k", "v"}}, tensors);
  write_safetensors(folder.path("two"), {{"k", "v"}}, tensors);
  EXPECT_EQ(read_file(folder.path("one"), kLimit), read_file(folder.path("two"), kLimit));
}

TEST(Safetensors, writing_checks_its_caller_and_the_disk) {
  const TemporaryFolder folder;
  const std::array<float, 2> values{1, 2};
  const auto bytes = std::as_bytes(std::span(values));
  const std::string path = folder.path("m");
  EXPECT_THROW(write_safetensors(path, {}, {{"t", DType::f32, {3}, bytes}}), std::logic_error);
  EXPECT_THROW(write_safetensors(path, {}, {{"t", DType::f32, {2}, bytes}, {"t", DType::f32, {2}, bytes}}),
               std::logic_error);
  EXPECT_THROW(write_safetensors(folder.path("none/m"), {}, {{"t", DType::f32, {2}, bytes}}), StorageError);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Safetensors, text_that_is_not_utf8_still_makes_a_file_that_is_read) {
  const TemporaryFolder folder;
  write_safetensors(folder.path("m"), {{"name", "caf\xe9"}}, {});
  EXPECT_EQ(SafetensorsFile::open(folder.path("m")).metadata().at("name"), "caf\xef\xbf\xbd");
}

TEST(Safetensors, asking_for_what_is_not_there_names_both) {
  const TemporaryFolder folder;
  const std::array<float, 6> values{};
  const std::string path = folder.path("m");
  write_safetensors(path, {},
                    {{"w", DType::f32, {2, 3}, std::as_bytes(std::span(values))},
                     {"i", DType::i32, {6}, std::as_bytes(std::span(values))}});
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::array<float, 6> out;
  EXPECT_THAT([&] { file.copy_floats("v", {6}, out); }, ThrowsMessage<DataError>(path + ": has no tensor 'v'"));
  EXPECT_THAT(
      [&] {
        file.copy_floats("w", {3, 2}, out);
      },
      ThrowsMessage<DataError>(path + ": tensor 'w' is [2, 3], expected [3, 2]"));
  EXPECT_THAT([&] { file.copy_floats("i", {6}, out); },
              ThrowsMessage<DataError>(path + ": tensor 'i' is of type I32, expected F32"));
}

TEST(Safetensors, other_types_are_recognised_but_not_handed_out) {
  const SafetensorsFile file =
      SafetensorsFile::parse("m.safetensors", file_of(R"({"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}})", 6));
  EXPECT_EQ(file.entries().at(0).type, "BF16");
  EXPECT_THAT([&] { file.tensor("a"); },
              ThrowsMessage<DataError>(HasSubstr("tensor 'a' is of type BF16; F32, F64, I32 and U8 are read")));
}

TEST(Safetensors, the_header_may_list_tensors_in_any_order) {
  const SafetensorsFile file =
      SafetensorsFile::parse("m", file_of(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},)"
                                          R"("a":{"data_offsets":[0,2],"shape":[2,1],"dtype":"U8"}}   )",
                                          3));
  EXPECT_THAT(file.names(), ElementsAre("a", "b"));
  EXPECT_EQ(file.tensor("b").bytes[0], std::byte{2});
}

struct BadFile {
  const char* name;
  std::string header;
  std::size_t data_size;
  std::string error;
};

class BadSafetensors : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensors, is_a_data_error_that_says_why) {
  const BadFile& row = GetParam();
  EXPECT_EQ(parse_error(file_of(row.header, row.data_size)), "m.safetensors: at byte " + row.error);
}

std::string with(const std::string& fields) { return R"({"t":{)" + fields + "}}"; }

INSTANTIATE_TEST_SUITE_P(
    headers, BadSafetensors,
    ::testing::Values(
        BadFile{"empty", "", 0, "8: the header does not begin with '{'"},
        BadFile{"space_first", " {}", 0, "8: the header does not begin with '{'"},
        BadFile{"cut_json", R"({"t":)", 0, "13: the header is not valid JSON here"},
        BadFile{"text_after", "{}x", 0, "10: the header is not valid JSON here"},
        BadFile{"not_utf8", "{\"\xff\":1}", 0, "10: the header is not valid JSON here"},
        BadFile{"tensor_is_number", R"({"t":1})", 0, "8: 't' in the header is not a JSON object"},
        BadFile{"metadata_is_list", R"({"__metadata__":[]})", 0,
                "8: '__metadata__' in the header is not a JSON object"},
        BadFile{"metadata_number", R"({"__metadata__":{"a":1}})", 0, "8: the metadata 'a' is not a string"},
        BadFile{"metadata_nested", R"({"__metadata__":{"a":{}}})", 0, "8: the metadata 'a' is not a string"},
        BadFile{"metadata_twice", R"({"__metadata__":{"a":"1","a":"2"}})", 0, "8: the metadata has 'a' twice"},
        BadFile{
            "name_twice",
            R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
            2, "8: the name 't' comes twice"},
        BadFile{"field_twice", with(R"("dtype":"U8","dtype":"U8")"), 0, "8: tensor 't' has 'dtype' twice"},
        BadFile{"field_unknown", with(R"("type":"U8")"), 0, "8: tensor 't' has an unknown field 'type'"},
        BadFile{"no_type", with(R"("shape":[1],"data_offsets":[0,1])"), 1, "8: tensor 't' has no 'dtype'"},
        BadFile{"no_shape", with(R"("dtype":"U8","data_offsets":[0,1])"), 1, "8: tensor 't' has no 'shape'"},
        BadFile{"no_offsets", with(R"("dtype":"U8","shape":[1])"), 1, "8: tensor 't' has no 'data_offsets'"},
        BadFile{"type_unknown", with(R"("dtype":"F31","shape":[1],"data_offsets":[0,1])"), 1,
                "8: tensor 't' has the unknown type 'F31'"},
        BadFile{"type_is_list", with(R"("dtype":["U8"])"), 0, "8: tensor 't' has a wrong value for 'dtype'"},
        BadFile{"shape_negative", with(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])"), 1,
                "8: tensor 't' has a wrong value for 'shape'"},
        BadFile{"shape_fraction", with(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])"), 1,
                "8: tensor 't' has a wrong value for 'shape'"},
        BadFile{"shape_past_63_bits", with(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1])"), 1,
                "8: tensor 't' has a wrong value for 'shape'"},
        BadFile{"shape_nested", with(R"("dtype":"U8","shape":[[1]],"data_offsets":[0,1])"), 1,
                "8: tensor 't' has a wrong value for 'shape'"},
        BadFile{"shape_overflows", with(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0])"), 0,
                "8: tensor 't': its shape [2305843009213693952] is too large"},
        BadFile{"one_offset", with(R"("dtype":"U8","shape":[1],"data_offsets":[1])"), 1,
                "8: tensor 't': its data_offsets are not [begin, end]"},
        BadFile{"three_offsets", with(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,1])"), 1,
                "8: tensor 't' has a wrong value for 'data_offsets'"},
        BadFile{"offsets_reversed", with(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])"), 1,
                "8: tensor 't': its data_offsets are not [begin, end]"},
        BadFile{"size_differs", with(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4,
                "8: tensor 't' is [2] of F32, which is 8 bytes, but its data_offsets span 4"},
        BadFile{"gap", with(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])"), 2,
                "61: tensor 't' leaves a gap before it"},
        BadFile{
            "overlap",
            R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
            3, "114: tensor 'b' overlaps the one before it"},
        BadFile{"data_cut", with(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), 3,
                "64: the file ends here, in tensor 't', which ends at byte 4 of the data"},
        BadFile{"data_extra", with(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])"), 3,
                "62: 2 bytes after the last tensor belong to none"}),
    [](const auto& row) { return row.param.name; });

TEST(Safetensors, a_length_that_cannot_be_is_refused_before_anything_is_read) {
  EXPECT_EQ(parse_error({}), "m.safetensors: has 0 bytes; a safetensors file has at least 10");
  EXPECT_EQ(parse_error(std::vector<std::byte>(8, std::byte{0xff})),
            "m.safetensors: at byte 0: is not a safetensors file: a header of 18,446,744,073,709,551,615 bytes is past "
            "the limit of 100,000,000");
  std::vector<std::byte> bytes = file_of("{}", 0);
  bytes[0] = std::byte{3};
  EXPECT_EQ(parse_error(bytes), "m.safetensors: at byte 0: the header has 3 bytes, but only 2 follow");
}

TEST(Safetensors, nesting_is_refused_however_deep) {
  const std::string deep = R"({"t":{"dtype":"U8","shape":)" + std::string(1'000'000, '[');
  EXPECT_THAT(parse_error(file_of(deep, 0)), HasSubstr("tensor 't' has a wrong value for 'shape'"));
}

TEST(Safetensors, every_cut_of_a_file_on_disk_is_an_error) {
  const TemporaryFolder folder;
  const std::array<float, 3> values{1, 2, 3};
  write_safetensors(folder.path("m"), {{"a", "b"}}, {{"t", DType::f32, {3}, std::as_bytes(std::span(values))}});
  const std::string whole = read_file(folder.path("m"), kLimit);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(SafetensorsFile::open(folder.write("cut", whole.substr(0, size))), DataError) << size;
  }
  EXPECT_NO_THROW(SafetensorsFile::open(folder.write("cut", whole)));
  EXPECT_THROW(SafetensorsFile::open(folder.write("cut", whole + " ")), DataError);
  EXPECT_THROW(SafetensorsFile::open(folder.path("none")), ConfigError);
}

// Files that other programs wrote.
class SharedTensorFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::shared_folder() / "data" / "fixture_tensorfiles";
    if (!std::filesystem::exists(folder_)) GTEST_SKIP() << "SKIPPED: no folder " << folder_.string();
  }
  std::filesystem::path folder_;
};

TEST_F(SharedTensorFiles, a_trained_network_of_burn) {
  const SafetensorsFile file = SafetensorsFile::open((folder_ / "burn_mnist.safetensors").string());
  std::vector<float> weight(32 * 11616);
  std::size_t floats = 0;
  for (const SafetensorsEntry& entry : file.entries()) {
    if (entry.type == "I64") {
      EXPECT_THROW(file.tensor(entry.name), DataError);
      continue;
    }
    EXPECT_EQ(entry.type, "F32");
    std::vector<float> values(static_cast<std::size_t>(elements(entry.shape)));
    file.copy_floats(entry.name, entry.shape, values);
    for (const float value : values) ASSERT_LT(std::abs(value), 1e6f) << entry.name;
    floats += values.size();
  }
  EXPECT_GT(floats, weight.size());
}

TEST_F(SharedTensorFiles, a_header_that_is_not_padded) {
  const SafetensorsFile file = SafetensorsFile::open((folder_ / "candle_jfk-codes.safetensors").string());
  ASSERT_FALSE(file.entries().empty());
  EXPECT_EQ(file.entries()[0].type, "I64");
}

}  // namespace
}  // namespace hadal
