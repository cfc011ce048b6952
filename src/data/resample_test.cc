#include "data/resample.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/pixel_values.h"
#include "testing/images.h"

namespace hadal {
namespace {

std::vector<std::uint8_t> resample(const Image& image, const Crop& crop, const RasterSize& size) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size.width * size.height * image.channels));
  Resampler().run(image, crop, size, pixels);
  return pixels;
}

Image noise(std::int64_t width, std::int64_t height, int channels) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  const RandomSequence random(3, RandomUse::self_test, 0);
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(width * height * channels); ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  }
  return image;
}

// The same in double precision, from the definition.
double exact(const Image& image, const Crop& crop, const RasterSize& size, std::int64_t x, std::int64_t y,
             int channel) {
  const double x_step = crop.width / static_cast<double>(size.width),
               y_step = crop.height / static_cast<double>(size.height);
  const double x_centre = crop.x + (static_cast<double>(x) + 0.5) * x_step;
  const double y_centre = crop.y + (static_cast<double>(y) + 0.5) * y_step;
  double sum = 0, weights = 0;
  for (std::int64_t j = 0; j < image.height; ++j) {
    for (std::int64_t i = 0; i < image.width; ++i) {
      const double across =
          std::max(0.0, 1 - std::abs(static_cast<double>(i) + 0.5 - x_centre) / std::max(1.0, x_step));
      const double down = std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - y_centre) / std::max(1.0, y_step));
      weights += across * down;
      sum += across * down * image.pixels[static_cast<std::size_t>((j * image.width + i) * image.channels + channel)];
    }
  }
  return sum / weights;
}

TEST(Resample, is_what_its_definition_says) {
  for (const int channels : {1, 3}) {
    const Image image = noise(23, 17, channels);
    for (const Crop& crop :
         {Crop{.x = 0, .y = 0, .width = 23, .height = 17}, Crop{.x = 3.3, .y = 2, .width = 9, .height = 11.5},
          Crop{.x = 1, .y = 1, .width = 21, .height = 4}}) {
      for (const RasterSize& size : {RasterSize{8, 9}, RasterSize{30, 40}, RasterSize{23, 17}}) {
        const auto pixels = resample(image, crop, size);
        for (std::int64_t y = 0; y < size.height; ++y) {
          for (std::int64_t x = 0; x < size.width; ++x) {
            for (int c = 0; c < channels; ++c) {
              ASSERT_NEAR(pixels[static_cast<std::size_t>((c * size.height + y) * size.width + x)],
                          exact(image, crop, size, x, y, c), 1.1)
                  << x << " " << y;
            }
          }
        }
      }
    }
  }
}

TEST(Resample, a_crop_of_whole_pixels_is_copied) {
  const Image image = noise(9, 8, 3);
  const auto pixels = resample(image, {.x = 2, .y = 3, .width = 4, .height = 5}, {4, 5});
  for (std::size_t y = 0; y < 5; ++y) {
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(pixels[i % 3 * 20 + y * 4 + i / 3], image.pixels[((y + 3) * 9 + 2) * 3 + i]);
    }
  }
}

TEST(Resample, outside_the_image_it_is_black) {
  Image image = noise(4, 4, 1);
  for (std::uint8_t& pixel : image.pixels) pixel = 200;
  const auto pixels = resample(image, {.x = -2, .y = -1, .width = 8, .height = 6}, {8, 6});
  for (std::size_t y = 0; y < 6; ++y) {
    for (std::size_t x = 0; x < 8; ++x) {
      EXPECT_EQ(pixels[y * 8 + x], x >= 2 && x < 6 && y >= 1 && y < 5 ? 200 : 0) << x << " " << y;
    }
  }
  const auto far = resample(image, {.x = 50, .y = 0, .width = 8, .height = 6}, {8, 6});
  for (const std::uint8_t pixel : far) EXPECT_EQ(pixel, 0);
}

TEST(PixelValues, are_scaled_then_centred_and_mirrored) {
  ImageSpec spec;
  spec.mean = {0.5, 0, 0};
  spec.deviation = {0.25};
  const PixelValues values(spec, {3, 1, 2});
  const std::vector<std::uint8_t> pixels = {255, 0, 51, 102, 0, 204};
  std::vector<float> plain(6), mirrored(6);
  values.write(pixels, 3, {}, plain);
  EXPECT_EQ(plain, (std::vector<float>{2, -2, 0.8f, 1.6f, 0, 3.2f}));
  values.write(pixels, 3, {.mirrored = true}, mirrored);
  EXPECT_EQ(mirrored, (std::vector<float>{-2, 2, 1.6f, 0.8f, 3.2f, 0}));
  values.write(std::vector<std::uint8_t>{51, 0}, 1, {.colour = {25.5f, 0, 0}}, plain);
  EXPECT_FLOAT_EQ(plain[0], (0.2f + 0.1f - 0.5f) / 0.25f);
  EXPECT_FLOAT_EQ(plain[2], 0.8f);
}

TEST(PixelValues, are_x_over_255_unless_the_job_says_otherwise) {
  const PixelValues values(ImageSpec{}, {1, 1, 256});
  std::vector<std::uint8_t> pixels;
  for (int x = 0; x < 256; ++x) pixels.push_back(static_cast<std::uint8_t>(x));
  std::vector<float> out(256);
  values.write(pixels, 1, {}, out);
  for (int x = 0; x < 256; ++x) EXPECT_EQ(out[static_cast<std::size_t>(x)], static_cast<float>(x) / 255.0f);
}

TEST(PixelValues, refuse_what_does_not_fit_the_input) {
  ImageSpec colours;
  colours.mean = {1, 2, 3};
  EXPECT_THROW(PixelValues(colours, {1, 4, 4}), ConfigError);
  EXPECT_NO_THROW(PixelValues(colours, {3, 4, 4}));
  ImageSpec jitter;
  jitter.pca = 0.1;
  EXPECT_THROW(PixelValues(jitter, {1, 4, 4}), ConfigError);
  EXPECT_THROW(PixelValues(ImageSpec{}, {16}), ConfigError);
  EXPECT_THROW(PixelValues(ImageSpec{}, {2, 4, 4}), ConfigError);
}

}  // namespace
}  // namespace hadal
