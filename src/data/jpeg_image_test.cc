#include "data/jpeg_image.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "testing/images.h"

namespace hadal {
namespace {

using testing::jpeg_bytes;
using testing::test_image;

Image decode_jpeg(const std::string& bytes, int eighths = 8, int channels = 3) {
  JpegDecoder decoder;
  const std::string name = "f";
  decoder.open(std::as_bytes(std::span(bytes)), name);
  Image image;
  decoder.decode(eighths, channels, image);
  return image;
}

// Largest difference of a pixel.
int difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.channels, b.channels);
  int most = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.width * a.height * a.channels); ++i) {
    most = std::max(most, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  }
  return most;
}

TEST(Jpeg, gray_and_colour_baseline_and_progressive) {
  for (const int channels : {1, 3}) {
    for (const bool progressive : {false, true}) {
      const Image image = test_image(37, 21, channels);
      EXPECT_LE(difference(decode_jpeg(jpeg_bytes(image, {.progressive = progressive})), image), 6) << channels;
    }
  }
}

TEST(Jpeg, colour_becomes_gray_where_that_is_wanted) {
  const Image gray = decode_jpeg(jpeg_bytes(test_image(16, 16, 3)), 8, 1);
  const Image colour = test_image(16, 16, 3);
  ASSERT_EQ(gray.channels, 1);
  for (std::size_t i = 0; i < 256; ++i) {
    const double luma =
        0.299 * colour.pixels[3 * i] + 0.587 * colour.pixels[3 * i + 1] + 0.114 * colour.pixels[3 * i + 2];
    EXPECT_NEAR(gray.pixels[i], luma, 4);
  }
}

TEST(Jpeg, ink_becomes_colour) {
  Image ink{.width = 8, .height = 8, .channels = 4, .pixels = {}};
  for (int i = 0; i < 64; ++i) ink.pixels.insert(ink.pixels.end(), {200, 100, 50, 255});  // Adobe's: no black at 255
  const Image colour = decode_jpeg(jpeg_bytes(ink, {.colours = JCS_CMYK}));
  ASSERT_EQ(colour.channels, 3);
  EXPECT_NEAR(colour.pixels[0], 200, 6);
  EXPECT_NEAR(colour.pixels[1], 100, 6);
  EXPECT_NEAR(colour.pixels[2], 50, 6);
}

TEST(Jpeg, is_decoded_smaller) {
  const std::string bytes = jpeg_bytes(test_image(65, 40, 3));
  for (const int eighths : {1, 2, 4, 8}) {
    const Image image = decode_jpeg(bytes, eighths);
    EXPECT_EQ(image.width, (65 * eighths + 7) / 8);
    EXPECT_EQ(image.height, (40 * eighths + 7) / 8);
    EXPECT_NEAR(image.pixels[2], 70, 5);
  }
}

TEST(Jpeg, every_cut_is_an_error) {
  for (const bool progressive : {false, true}) {
    const std::string bytes = jpeg_bytes(test_image(24, 24, 3), {.progressive = progressive});
    for (std::size_t size = 0; size + 2 < bytes.size(); ++size) {
      EXPECT_THROW(decode_jpeg(bytes.substr(0, size)), DataError) << size;
    }
  }
}

TEST(Jpeg, flipped_bits_are_an_error_or_an_image) {
  const std::string bytes = jpeg_bytes(test_image(24, 24, 3));
  int errors = 0;
  for (std::size_t i = 2; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x08);
    try {
      decode_jpeg(damaged);
    } catch (const DataError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 50);
}

TEST(Jpeg, one_decoder_goes_on_after_an_error) {
  const std::string good = jpeg_bytes(test_image(24, 24, 3)), bad = good.substr(0, good.size() - 30), name = "f";
  JpegDecoder decoder;
  Image image;
  for (int round = 0; round < 3; ++round) {
    decoder.open(std::as_bytes(std::span(bad)), name);
    EXPECT_THROW(decoder.decode(8, 3, image), DataError);
    EXPECT_THROW(decoder.open({}, name), DataError);
    decoder.open(std::as_bytes(std::span(good)), name);
    decoder.decode(8, 3, image);
    EXPECT_LE(difference(image, test_image(24, 24, 3)), 6);
  }
}

TEST(Jpeg, one_of_too_many_pixels_is_refused_before_there_is_room_for_them) {
  std::string bytes = jpeg_bytes(test_image(8, 8, 1));
  const std::size_t frame = bytes.find("\xff\xc0");
  bytes.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // height and width: 65,500
  EXPECT_THROW(decode_jpeg(bytes), DataError);
}

}  // namespace
}  // namespace hadal
