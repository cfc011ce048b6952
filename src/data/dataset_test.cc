#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

#include "data/idx_writer.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

// Four images of 2 x 3 with labels.
class IdxPair : public ::testing::Test {
 protected:
  std::string pixels() const {
    std::string bytes;
    for (int i = 0; i < 24; ++i) bytes += static_cast<char>(i * 11);
    return bytes;
  }
  std::unique_ptr<Dataset> open(const Shape& input, const std::string& labels = std::string("\x03\x00\x09\x01", 4)) {
    images_ = folder_.write("images", idx_bytes({4, 2, 3}, pixels()));
    labels_ = folder_.write("labels", idx_bytes({static_cast<std::uint32_t>(labels.size())}, labels));
    return make_dataset(IdxData{images_, labels_, {}}, input, 1, Split::train);
  }

  TemporaryFolder folder_;
  std::string images_, labels_;
};

TEST_F(IdxPair, pixels_become_fractions_of_255) {
  const auto data = open({1, 2, 3});
  EXPECT_EQ(data->size(), 4);
  EXPECT_EQ(data->classes(), 10);
  EXPECT_EQ(data->sample_shape(), (Shape{1, 2, 3}));
  std::array<float, 6> values;
  data->copy_sample(3, values);
  for (int k = 0; k < 6; ++k) EXPECT_EQ(values[k], static_cast<float>((18 + k) * 11) / 255.0f);
  EXPECT_EQ(data->label(0), 3);
  EXPECT_EQ(data->label(2), 9);
}

TEST_F(IdxPair, leading_ones_of_the_input_do_not_count_but_all_else_does) {
  EXPECT_NO_THROW(open({2, 3}));
  EXPECT_NO_THROW(open({1, 1, 2, 3}));
  for (const Shape& input : {Shape{1, 3, 2}, Shape{6}, Shape{3, 2, 3}, Shape{2, 3, 1}}) {
    EXPECT_THAT([&] { open(input); },
                ThrowsMessage<DataError>(folder_.path("images") +
                                         ": its samples are [2, 3], but the network's input is " + to_string(input)));
  }
}

TEST_F(IdxPair, counts_that_differ_are_named) {
  EXPECT_THAT(
      [&] {
        open({2, 3}, "\x01\x02\x03");
      },
      ThrowsMessage<DataError>(folder_.path("labels") + ": has 3 labels for the 4 images of " +
                               folder_.path("images")));
}

TEST_F(IdxPair, labels_are_checked_when_asked) {
  const auto data = open({2, 3});
  EXPECT_NO_THROW(validate(*data, 10));
  EXPECT_THAT([&] { validate(*data, 9); },
              ThrowsMessage<DataError>(labels_ +
                                       ": at byte 10: label 9 of sample 2 is out of range: the network has 9 classes"));
}

std::vector<float> sample(const Dataset& data, std::int64_t i) {
  std::vector<float> values(static_cast<std::size_t>(elements(data.sample_shape())));
  data.copy_sample(i, values);
  return values;
}

std::unique_ptr<Dataset> synthetic(std::int64_t samples, const Shape& input, std::uint64_t seed, Split split) {
  return make_dataset(SyntheticData{.samples = samples, .classes = 7}, input, seed, split);
}

TEST(SyntheticDataset, a_sample_depends_on_seed_split_and_number_alone) {
  const auto data = synthetic(100, {3, 5, 5}, 4, Split::train);
  const auto more = synthetic(1000, {3, 5, 5}, 4, Split::train);
  const auto test = synthetic(100, {3, 5, 5}, 4, Split::test);
  const auto other = synthetic(100, {3, 5, 5}, 5, Split::train);
  int same_labels_as_test = 0, same_labels_as_other = 0;
  for (const std::int64_t i : {99, 0, 17}) {  // in no order
    EXPECT_EQ(sample(*data, i), sample(*more, i));
    EXPECT_NE(sample(*data, i), sample(*test, i));
    EXPECT_NE(sample(*data, i), sample(*other, i));
  }
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(data->label(i), more->label(i));
    same_labels_as_test += data->label(i) == test->label(i);
    same_labels_as_other += data->label(i) == other->label(i);
  }
  EXPECT_LT(same_labels_as_test, 40);
  EXPECT_LT(same_labels_as_other, 40);
}

TEST(SyntheticDataset, samples_differ_and_are_normal) {
  const auto data = synthetic(5000, {8, 8}, 1, Split::train);
  std::set<std::vector<float>> seen;
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < data->size(); ++i) {
    const std::vector<float> values = sample(*data, i);
    seen.insert({values.begin(), values.begin() + 4});
    for (const float value : values) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
  }
  const double count = 5000 * 64;
  EXPECT_EQ(seen.size(), 5000u);
  EXPECT_NEAR(sum / count, 0, 0.02);
  EXPECT_NEAR(squares / count, 1, 0.02);
}

TEST(SyntheticDataset, labels_are_uniform_and_can_be_too_many_for_a_network) {
  const auto data = synthetic(7000, {4}, 1, Split::test);
  std::array<int, 7> count{};
  for (std::int64_t i = 0; i < data->size(); ++i) ++count.at(static_cast<std::size_t>(data->label(i)));
  for (const int times : count) EXPECT_NEAR(times, 1000, 150);
  EXPECT_NO_THROW(validate(*data, 7));
  EXPECT_THROW(validate(*data, 6), DataError);
}

TEST(SyntheticDataset, a_sample_longer_than_the_table_goes_around) {
  const auto data = synthetic(2, {(std::int64_t{1} << 22) + 5}, 1, Split::train);
  const std::vector<float> values = sample(*data, 1);
  EXPECT_EQ(values.front(), values[std::size_t{1} << 22]);
  EXPECT_NE(values.front(), sample(*data, 0).front());
}

}  // namespace
}  // namespace hadal
