#include "data/jpeg_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/resample.h"
#include "testing/images.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;
using testing::jpeg_bytes;
using testing::JpegKind;
using testing::test_image;
using ::testing::ThrowsMessage;

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
  // Adobe's programs write how much of a colour is left: no black is 255. YCCK is the same, its colours as JPEG's.
  for (const JpegKind& kind :
       {JpegKind{.colours = JCS_CMYK}, JpegKind{.colours = JCS_YCCK}, JpegKind{.colours = JCS_CMYK, .adobe = false}}) {
    Image ink{.width = 8, .height = 8, .channels = 4, .pixels = {}};
    for (int i = 0; i < 64; ++i) {
      for (const int left : {200, 100, 50, 255}) {
        ink.pixels.push_back(static_cast<std::uint8_t>(kind.adobe ? left : 255 - left));
      }
    }
    const Image colour = decode_jpeg(jpeg_bytes(ink, kind));
    ASSERT_EQ(colour.channels, 3);
    EXPECT_NEAR(colour.pixels[0], 200, 6) << kind.colours;
    EXPECT_NEAR(colour.pixels[1], 100, 6) << kind.colours;
    EXPECT_NEAR(colour.pixels[2], 50, 6) << kind.colours;
    const Image gray = decode_jpeg(jpeg_bytes(ink, kind), 8, 1);
    ASSERT_EQ(gray.channels, 1);
    EXPECT_NEAR(gray.pixels[0], 0.299 * 200 + 0.587 * 100 + 0.114 * 50, 6);
  }
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

TEST(Jpeg, a_progressive_one_whose_coefficients_need_too_much_memory_is_refused) {
  std::string bytes = jpeg_bytes(test_image(8, 8, 3), {.progressive = true});
  const std::size_t frame = bytes.find("\xff\xc2");
  bytes.replace(frame + 5, 4, "\x1f\xa4\x1f\xa4");  // height and width: 8,100, within what is read
  bytes[frame + 11] = '\x11';                       // as many pixels of each colour: 6 bytes a pixel
  EXPECT_THAT([&] { decode_jpeg(bytes); }, ThrowsMessage<DataError>(HasSubstr("it needs more than 256 MiB")));
}

// What a scaled image is of the whole one: of any width, all eighths, and padding that is garbage.
TEST(Jpeg, scaled_while_it_is_decoded_is_the_same_as_scaled_afterwards) {
  for (std::int64_t side = 57; side <= 73; ++side) {
    Image image{.width = side, .height = side, .channels = 1, .pixels = {}};
    for (std::int64_t i = 0; i < side * side; ++i) {
      image.pixels.push_back(static_cast<std::uint8_t>(2 * (i % side) + i / side));
    }
    const std::string bytes = jpeg_bytes(image, {.quality = 100});
    for (const int eighths : {1, 2, 4}) {
      const RasterSize size{7 * eighths, 7 * eighths};
      const Crop all{.width = static_cast<double>(side), .height = static_cast<double>(side)};
      std::vector<std::uint8_t> whole(static_cast<std::size_t>(size.width * size.height)), scaled = whole;
      Resampler().run(decode_jpeg(bytes), all, size, whole);
      Resampler().run(decode_jpeg(bytes, eighths), all, size, scaled);
      for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], scaled[i], 3) << side << " " << eighths;
    }
  }
}

TEST(Jpeg, what_an_encoder_fills_the_last_block_with_is_not_seen) {
  Image image{.width = 72, .height = 64, .channels = 1, .pixels = {}};
  for (std::int64_t i = 0; i < 72 * 64; ++i) image.pixels.push_back(i % 72 < 65 ? 200 : 0);
  std::string bytes = jpeg_bytes(image);
  const std::size_t frame = bytes.find("\xff\xc0");
  bytes.replace(frame + 7, 2, std::string("\0\x41", 2));  // width: 65
  std::vector<std::uint8_t> pixels(64);
  Resampler().run(decode_jpeg(bytes, 1, 1), {.width = 65, .height = 64}, {8, 8}, pixels);
  for (const std::uint8_t pixel : pixels) EXPECT_NEAR(pixel, 200, 8);
}

// Colours of any size against the luma, baseline and progressive.
TEST(Jpeg, parts_are_those_of_the_whole_image) {
  Image image{.width = 150, .height = 101, .channels = 3, .pixels = {}};
  const RandomSequence random(3, RandomUse::self_test, 0);
  for (std::uint64_t i = 0; i < 3 * 150 * 101; ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  }
  const RasterSize input{20, 10};
  std::uint64_t draw = 0;
  for (const JpegKind& kind : {JpegKind{}, JpegKind{.progressive = true}, JpegKind{.samples = {1, 1}},
                               JpegKind{.samples = {2, 1}}, JpegKind{.samples = {1, 2}}}) {
    const std::string bytes = jpeg_bytes(image, kind), name = "f";
    for (const int eighths : {1, 2, 4, 8}) {
      const Image whole = decode_jpeg(bytes, eighths);
      for (int i = 0; i < 40; ++i) {
        const auto below = [&](std::uint64_t bound) { return static_cast<double>(random.below(draw++, bound)); };
        const Crop crop{.x = below(140) - 10, .y = below(90) - 10, .width = 20 + below(140), .height = 10 + below(100)};
        const RasterPart part = part_of({&crop, 1}, {image.width, image.height}, eighths, input);
        JpegDecoder decoder;
        decoder.open(std::as_bytes(std::span(bytes)), name);
        Image some;
        decoder.decode(eighths, 3, some, &part);
        std::vector<std::uint8_t> expected(600), pixels = expected;
        Resampler().run(whole, crop, input, expected);
        Resampler().run(some, crop, input, pixels);
        ASSERT_EQ(pixels, expected) << eighths << " " << crop.x << " " << crop.y << " " << crop.width;
      }
    }
    // What is cut off behind the part, or damaged, is seen all the same.
    const RasterPart top{0, 0, 20, 10};
    for (const std::size_t missing : {3, 40, 400}) {
      const std::string cut = bytes.substr(0, bytes.size() - missing);
      JpegDecoder decoder;
      decoder.open(std::as_bytes(std::span(cut)), name);
      Image some;
      EXPECT_THROW(decoder.decode(8, 3, some, &top), DataError) << missing;
    }
  }
}

}  // namespace
}  // namespace hadal
