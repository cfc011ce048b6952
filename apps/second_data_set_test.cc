// Another data set of MNIST's format is another job file, and no more; train, eval and predict agree about it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/workplace.h"

namespace hadal {
namespace {

using nlohmann::json;
using testing::CommandResult;
using testing::Workplace;

constexpr std::uint32_t kSide = 28;

constexpr const char* kPatternsJob = R"(name: patterns
network:
  input: [1, 28, 28]
  layers:
    - conv: {out: 4, kernel: 5}
    - max_pool: {kernel: 2}
    - fully_connected: {out: 32}
    - relu
    - fully_connected: {out: 10}
data:
  train: {idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}
  test: {idx: {images: test-images-idx3-ubyte, labels: test-labels-idx1-ubyte}}
  batch: 20
solver:
  epochs: 3
  rule: {sgd: {rate: 0.02, momentum: 0.9}}
)";

void append_big_endian(std::string& bytes, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 255);
}

// Length, name, contents and CRC-32 of a chunk (PNG specification, section 5.3).
void append_chunk(std::string& png, const std::string& name, const std::string& contents) {
  append_big_endian(png, static_cast<std::uint32_t>(contents.size()));
  std::uint32_t crc = 0xffffffff;
  for (const char byte : name + contents) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  png += name + contents;
  append_big_endian(png, ~crc);
}

// A gray PNG of 8 bits, its rows unfiltered in one stored block of a zlib stream (RFC 1950, RFC 1951).
std::string png_of(const std::string& pixels) {
  std::string rows;
  for (std::uint32_t y = 0; y < kSide; ++y) {
    rows += '\0';
    rows += pixels.substr(y * kSide, kSide);
  }
  const auto size = static_cast<std::uint16_t>(rows.size());
  std::string zlib{0x78, 0x01, 0x01};
  for (const int part : {size & 255, size >> 8, ~size & 255, ~size >> 8 & 255}) zlib += static_cast<char>(part);
  zlib += rows;
  std::uint32_t a = 1, b = 0;
  for (const char byte : rows) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  append_big_endian(zlib, b << 16 | a);

  std::string header;
  append_big_endian(header, kSide);
  append_big_endian(header, kSide);
  header += std::string{8, 0, 0, 0, 0};
  std::string png = "\x89PNG\r\n\x1a\n";
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", zlib);
  append_chunk(png, "IEND", "");
  return png;
}

// The labels that predict --json names first, and their probabilities.
void expect_same_top(const json& a, const json& b) {
  ASSERT_EQ(a.at("top").size(), b.at("top").size());
  for (std::size_t i = 0; i < a["top"].size(); ++i) {
    EXPECT_EQ(a["top"][i]["label"], b["top"][i]["label"]);
    EXPECT_NEAR(a["top"][i]["probability"].get<double>(), b["top"][i]["probability"].get<double>(), 1e-6);
  }
}

class SecondDataSet : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    place_->write_data("train", 400, kSide, 1);
    place_->write_data("test", 90, kSide, 2);
    place_->write("job.yaml", kPatternsJob);
    const CommandResult result = place_->hadal({"train", "job.yaml", "--threads", "1"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() {
    delete place_;
    place_ = nullptr;
  }
  static inline Workplace* place_ = nullptr;
};

TEST_F(SecondDataSet, trains_to_good_accuracy) {
  EXPECT_GT(place_->summary("runs/patterns")["test"]["accuracy"], 0.95);
}

TEST_F(SecondDataSet, eval_is_the_summarys_test) {
  const json expected = place_->summary("runs/patterns")["test"];
  const std::vector<std::vector<std::string>> ways{
      {"eval", "runs/patterns"},
      {"eval", "runs/patterns", "--data", "test-images-idx3-ubyte"},
      {"eval", "runs/patterns/model.safetensors", "--data", "test-images-idx3-ubyte,test-labels-idx1-ubyte"}};
  for (std::vector<std::string> arguments : ways) {
    arguments.push_back("--json");
    const CommandResult result = place_->hadal(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json actual = result.json();
    EXPECT_EQ(actual["accuracy"], expected["accuracy"]);
    EXPECT_EQ(actual["top5_accuracy"], expected["top5_accuracy"]);
    EXPECT_NEAR(actual["loss"].get<double>(), expected["loss"].get<double>(), 1e-6);
  }
  const json of_train = place_->hadal({"eval", "runs/patterns", "--data", "train", "--json"}).json();
  EXPECT_EQ(of_train["samples"], 400);
}

TEST(Eval, of_random_samples_knows_train_from_test) {
  const Workplace place;
  place.write(
      "job.yaml",
      "name: random\nnetwork: {input: [8], layers: [fully_connected: {out: 64}, relu, fully_connected: {out: 4}]}\n"
      "data: {train: {synthetic: {samples: 32, classes: 4}}, test: {synthetic: {samples: 32, classes: 4}}, batch: 8}\n"
      "solver: {epochs: 60, rule: {sgd: {rate: 0.1, momentum: 0.9}}}\n");
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--threads", "1"}).exit_code, 0);
  const auto loss = [&](const char* data) {
    return place.hadal({"eval", "runs/random", "--data", data, "--json"}).json()["loss"].get<double>();
  };
  EXPECT_LT(loss("train"), 0.1);  // learnt by heart
  EXPECT_GT(loss("test"), 1.0);
}

TEST_F(SecondDataSet, predict_agrees_with_eval_and_with_itself) {
  const CommandResult rows = place_->hadal({"predict", "runs/patterns", "test-images-idx3-ubyte", "--json"});
  ASSERT_EQ(rows.exit_code, 0) << rows.err;
  const std::vector<json> of_rows = testing::json_lines(rows.out);
  ASSERT_EQ(of_rows.size(), 90u);

  const std::string labels = place_->read("test-labels-idx1-ubyte").substr(8);
  int correct = 0;
  for (std::size_t i = 0; i < of_rows.size(); ++i) {
    EXPECT_EQ(of_rows[i]["input"], "test-images-idx3-ubyte:" + std::to_string(i));
    EXPECT_EQ(of_rows[i]["top"].size(), 3u);
    correct += of_rows[i]["top"][0]["label"] == static_cast<int>(labels[i]);
  }
  EXPECT_NEAR(correct / 90.0, place_->summary("runs/patterns")["test"]["accuracy"].get<double>(), 1e-9);

  const std::string pixels = place_->read("test-images-idx3-ubyte").substr(16);
  for (const int row : {0, 17, 89}) {
    const std::string image = pixels.substr(static_cast<std::size_t>(row) * kSide * kSide, kSide * kSide);
    place_->write("image.pgm", "P5\n# a comment\n28 28\n255\n" + image);
    place_->write("image.png", png_of(image));
    const CommandResult result =
        place_->hadal({"predict", "runs/patterns/model.safetensors", "image.pgm", "image.png",
                       "test-images-idx3-ubyte:" + std::to_string(row), "--json", "--top", "10"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const std::vector<json> three = testing::json_lines(result.out);
    ASSERT_EQ(three.size(), 3u);
    EXPECT_EQ(three[0]["input"], "image.pgm");
    EXPECT_EQ(three[1]["input"], "image.png");
    expect_same_top(three[0], three[1]);
    expect_same_top(three[0], three[2]);
    double sum = 0;
    for (const json& entry : three[0]["top"]) sum += entry["probability"].get<double>();
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(three[0]["top"][0]["label"], of_rows[static_cast<std::size_t>(row)]["top"][0]["label"]);
  }
}

}  // namespace
}  // namespace hadal
