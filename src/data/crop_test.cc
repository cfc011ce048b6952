#include "data/crop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"

namespace hadal {
namespace {

constexpr RasterSize kInput{.width = 20, .height = 10};

Crop crop_of(const ImageSpec& spec, const RasterSize& image, std::uint32_t sample = 0, std::uint32_t epoch = 0) {
  const RandomSequence draws(5, RandomUse::augment, epoch);
  return choose_crop(spec, image, kInput, {draws, sample}, "f");
}

void expect_place(const Crop& crop, double x, double y, double width, double height) {
  EXPECT_NEAR(crop.x, x, 1e-9);
  EXPECT_NEAR(crop.y, y, 1e-9);
  EXPECT_NEAR(crop.width, width, 1e-9);
  EXPECT_NEAR(crop.height, height, 1e-9);
}

TEST(Crop, fit_just_covers_the_input) {
  expect_place(crop_of({}, {40, 40}), 0, 10, 40, 20);  // 20 x 20 pixels, of which the 10 rows in the middle
  expect_place(crop_of({}, {400, 100}), 100, 0, 200, 100);
  expect_place(crop_of({}, {20, 10}), 0, 0, 20, 10);
  expect_place(crop_of({}, {5, 5}), 0, 1.25, 5, 2.5);  // made larger
}

TEST(Crop, stretch_takes_all) { expect_place(crop_of({.resize = Resize::stretch}, {7, 300}), 0, 0, 7, 300); }

TEST(Crop, a_side_of_so_many_pixels) {
  // 80 x 40 pixels of 160 x 80.
  expect_place(crop_of({.resize = Resize::side, .side = 40}, {160, 80}), 60, 30, 40, 20);
}

TEST(Crop, none_cuts_from_the_image_as_it_is) {
  expect_place(crop_of({.resize = Resize::none}, {30, 14}), 5, 2, 20, 10);
  EXPECT_THROW(crop_of({.resize = Resize::none}, {30, 9}), DataError);
  expect_place(crop_of({.resize = Resize::none, .pad = 1}, {30, 9}), 5, -1, 20, 10);
}

TEST(Crop, random_ones_are_on_whole_pixels_everywhere_in_the_image) {
  const ImageSpec spec{.resize = Resize::none, .pad = 2, .random_crop = true, .mirror = true};
  std::set<double> xs, ys;
  int mirrored = 0;
  for (std::uint32_t sample = 0; sample < 2000; ++sample) {
    const Crop crop = crop_of(spec, {22, 10}, sample);
    EXPECT_EQ(crop.x, std::floor(crop.x));
    xs.insert(crop.x);
    ys.insert(crop.y);
    mirrored += crop.mirrored;
  }
  EXPECT_EQ(xs.size(), 7u);
  EXPECT_EQ(*xs.begin(), -2);
  EXPECT_EQ(*xs.rbegin(), 4);
  EXPECT_EQ(ys.size(), 5u);
  EXPECT_NEAR(mirrored, 1000, 120);
}

TEST(Crop, is_a_pure_function_of_seed_epoch_and_sample) {
  const ImageSpec spec{.random_crop = true, .mirror = true, .area = {{0.1, 1}}, .aspect = {0.75, 1.33}, .pca = 0.1};
  EXPECT_EQ(crop_of(spec, {300, 200}, 7, 3), crop_of(spec, {300, 200}, 7, 3));
  EXPECT_NE(crop_of(spec, {300, 200}, 7, 3), crop_of(spec, {300, 200}, 8, 3));
  EXPECT_NE(crop_of(spec, {300, 200}, 7, 3), crop_of(spec, {300, 200}, 7, 4));
}

TEST(Crop, areas_have_the_shares_and_shapes_that_are_asked_for) {
  const ImageSpec spec{.random_crop = true, .area = {{0.1, 0.4}}, .aspect = {0.5, 2}};
  double least = 1, most = 0, widest = 0, narrowest = 100;
  for (std::uint32_t sample = 0; sample < 3000; ++sample) {
    const Crop crop = crop_of(spec, {1000, 1000}, sample);
    const double share = crop.width * crop.height / 1e6, shape = crop.width / crop.height / 2;
    least = std::min(least, share);
    most = std::max(most, share);
    narrowest = std::min(narrowest, shape);
    widest = std::max(widest, shape);
    EXPECT_GE(crop.x, 0);
    EXPECT_LE(crop.x + crop.width, 1000);
    EXPECT_LE(crop.y + crop.height, 1000);
  }
  EXPECT_NEAR(least, 0.1, 0.01);
  EXPECT_NEAR(most, 0.4, 0.01);
  EXPECT_NEAR(narrowest, 0.5, 0.02);
  EXPECT_NEAR(widest, 2, 0.05);
}

TEST(Crop, an_area_that_fits_nowhere_is_the_largest_in_the_centre) {
  const ImageSpec spec{.random_crop = true, .area = {{1, 1}}};
  expect_place(crop_of(spec, {40, 40}), 0, 10, 40, 20);  // as wide as the image, and half as high
}

TEST(Crop, colours_change_along_the_components_by_as_much_as_the_paper_says) {
  const ImageSpec spec{.pca = 0.1};
  double sum = 0, squares = 0;
  for (std::uint32_t sample = 0; sample < 4000; ++sample) {
    const Crop crop = crop_of(spec, {20, 10}, sample);
    sum += crop.colour[0];
    squares += crop.colour[0] * crop.colour[0];
  }
  EXPECT_NEAR(sum / 4000, 0, 0.15);
  // Of the three components: 0.5675 x 0.2175, 0.7192 x 0.0188, 0.4009 x 0.0045, all times 25.5.
  EXPECT_NEAR(std::sqrt(squares / 4000), 25.5 * std::hypot(0.5675 * 0.2175, 0.7192 * 0.0188), 0.1);
}

TEST(TestCrops, are_the_centre_and_the_corners_and_their_mirror_images) {
  const ImageSpec spec{.resize = Resize::none, .crops = 10};
  const double places[5][2] = {{5, 2}, {0, 0}, {10, 0}, {0, 4}, {10, 4}};
  for (std::int64_t index = 0; index < 10; ++index) {
    const Crop crop = test_crop(spec, {30, 14}, kInput, index, "f");
    expect_place(crop, places[index % 5][0], places[index % 5][1], 20, 10);
    EXPECT_EQ(crop.mirrored, index >= 5);
  }
  EXPECT_TRUE(test_crop({.resize = Resize::none, .crops = 2}, {30, 14}, kInput, 1, "f").mirrored);
}

TEST(Eighths, keep_as_many_pixels_as_the_input_has) {
  const auto eighths = [](double width, double height) {
    return enough_eighths({.width = width, .height = height}, kInput);
  };
  EXPECT_EQ(eighths(20, 10), 8);
  EXPECT_EQ(eighths(39, 100), 8);
  EXPECT_EQ(eighths(40, 20), 4);
  EXPECT_EQ(eighths(80, 79), 2);
  EXPECT_EQ(eighths(160, 80), 1);
  EXPECT_EQ(eighths(5, 5), 8);
}

}  // namespace
}  // namespace hadal
