#include "data/image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>
#include <sys/resource.h>

#include <array>

#include "data/raster.h"
#include "testing/temporary_folder.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

std::vector<float> decode(const std::string& bytes, const Shape& input) {
  return decode_image(std::as_bytes(std::span(bytes)), "f", input);
}

std::string error_of(const std::string& bytes, const Shape& input) {
  try {
    decode(bytes, input);
    return "none";
  } catch (const DataError& error) {
    return error.what();
  }
}

struct PngKind {
  int width = 2, height = 2, depth = 8, colour = PNG_COLOR_TYPE_GRAY, interlace = PNG_INTERLACE_NONE;
  std::vector<png_color> palette = {};
  std::vector<png_byte> transparency = {};
};

// Rows as libpng wants them: bytes, or 16-bit samples with the high byte first, or packed bits.
std::string png_of(const PngKind& kind, std::vector<std::string> rows) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, std::size_t count) {
        static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<const char*>(data), count);
      },
      nullptr);
  png_set_IHDR(png, info, kind.width, kind.height, kind.depth, kind.colour, kind.interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!kind.palette.empty()) png_set_PLTE(png, info, kind.palette.data(), static_cast<int>(kind.palette.size()));
  if (!kind.transparency.empty()) {
    png_set_tRNS(png, info, kind.transparency.data(), static_cast<int>(kind.transparency.size()), nullptr);
  }
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (std::string& row : rows) pointers.push_back(reinterpret_cast<png_bytep>(row.data()));
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string bytes_of(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

TEST(Png, gray_and_its_copies_as_colour) {
  const std::string png = png_of({}, {bytes_of({0, 51}), bytes_of({102, 255})});
  EXPECT_THAT(decode(png, {1, 2, 2}), ElementsAre(0.0f, 51 / 255.0f, 102 / 255.0f, 1.0f));
  EXPECT_THAT(decode(png, {3, 2, 2}), ElementsAre(0.0f, 51 / 255.0f, 102 / 255.0f, 1.0f,  //
                                                  0.0f, 51 / 255.0f, 102 / 255.0f, 1.0f,  //
                                                  0.0f, 51 / 255.0f, 102 / 255.0f, 1.0f));
}

TEST(Png, colour_is_planes_and_its_luma_is_gray) {
  const std::string png =
      png_of({.width = 2, .height = 1, .colour = PNG_COLOR_TYPE_RGB}, {bytes_of({255, 0, 51, 0, 255, 102})});
  EXPECT_THAT(decode(png, {3, 1, 2}), ElementsAre(1.0f, 0.0f, 0.0f, 1.0f, 51 / 255.0f, 102 / 255.0f));
  EXPECT_THAT(decode(png, {1, 1, 2}), ElementsAre(82 / 255.0f, 161 / 255.0f));  // 0.299 red, 0.587 green, 0.114 blue
}

TEST(Png, transparency_is_dropped) {
  EXPECT_THAT(
      decode(png_of({.width = 1, .height = 1, .colour = PNG_COLOR_TYPE_RGBA}, {bytes_of({255, 51, 0, 3})}), {3, 1, 1}),
      ElementsAre(1.0f, 51 / 255.0f, 0.0f));
  EXPECT_THAT(
      decode(png_of({.width = 1, .height = 1, .colour = PNG_COLOR_TYPE_GRAY_ALPHA}, {bytes_of({51, 0})}), {1, 1, 1}),
      ElementsAre(51 / 255.0f));
}

TEST(Png, of_sixteen_bits_the_first_eight_are_kept) {
  EXPECT_THAT(decode(png_of({.width = 2, .height = 1, .depth = 16}, {bytes_of({0x01, 0x02, 0xff, 0xff})}), {1, 1, 2}),
              ElementsAre(1 / 255.0f, 1.0f));
}

// What libraries hold for a file of 50 kB, and what is made of it.
TEST(ImageFile, memory_is_that_of_its_pixels) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "a sanitizer keeps memory of its own";
#endif
  const std::string large = png_of({.width = 4096, .height = 4096, .colour = PNG_COLOR_TYPE_RGB},
                                   std::vector<std::string>(4096, std::string(3 * 4096, '\x64')));
  const std::string thin = png_of({.width = 1, .height = 65'535}, std::vector<std::string>(65'535, "\x64"));
  const ImageSpec stretched{.resize = Resize::stretch};
  const auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss * 1024 / 1'000'000;
  };
  EXPECT_EXIT(
      {
        const long before = peak();
        decode_image(std::as_bytes(std::span(large)), "f", {3, 8, 8}, &stretched);
        if (peak() - before > 80) std::_Exit(1);  // 50 MB of pixels
        decode_image(std::as_bytes(std::span(thin)), "f", {1, 512, 512}, &stretched);
        std::_Exit(peak() - before > 80 ? 2 : 0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(ImageFile, memory_that_only_few_images_need_is_given_back) {
  Image image;
  image.begin({4000, 4000}, 3);
  image.shrink();
  EXPECT_EQ(image.pixels.size(), 48'000'000u);
  image.begin({8000, 8000}, 3);
  image.shrink();
  EXPECT_EQ(image.pixels.capacity(), 0u);
}

TEST(ImageFile, a_side_that_is_too_long_is_refused) {
  EXPECT_EQ(error_of("P5 1 65536 255 ", {1, 1, 1}),
            "f: the image is 1 x 65536 pixels; at most 67,108,864 are read, and sides of 65,535");
}

TEST(Png, palettes_and_bits_are_expanded) {
  const PngKind palette{.width = 3,
                        .height = 1,
                        .depth = 2,
                        .colour = PNG_COLOR_TYPE_PALETTE,
                        .palette = {{255, 0, 0}, {0, 51, 0}, {0, 0, 255}},
                        .transparency = {0, 128}};
  EXPECT_THAT(decode(png_of(palette, {bytes_of({0b00'01'10'00})}), {3, 1, 3}),
              ElementsAre(1.0f, 0.0f, 0.0f, 0.0f, 51 / 255.0f, 0.0f, 0.0f, 0.0f, 1.0f));
  EXPECT_THAT(decode(png_of({.width = 4, .height = 1, .depth = 1}, {bytes_of({0b0110'0000})}), {1, 1, 4}),
              ElementsAre(0.0f, 1.0f, 1.0f, 0.0f));
}

TEST(Png, interlaced) {
  PngKind kind{.width = 5, .height = 5};
  std::vector<std::string> rows(5);
  for (int i = 0; i < 25; ++i) rows[static_cast<std::size_t>(i / 5)] += static_cast<char>(i * 10);
  const std::vector<float> plain = decode(png_of(kind, rows), {1, 5, 5});
  kind.interlace = PNG_INTERLACE_ADAM7;
  EXPECT_EQ(decode(png_of(kind, rows), {1, 5, 5}), plain);
  EXPECT_EQ(plain[24], 240 / 255.0f);
}

TEST(Png, every_cut_and_every_flipped_byte_is_an_error) {
  const std::string png = png_of({}, {bytes_of({0, 51}), bytes_of({102, 255})});
  for (std::size_t size = 0; size < png.size(); ++size) {
    EXPECT_THROW(decode(png.substr(0, size), {1, 2, 2}), DataError) << size;
  }
  for (std::size_t i = 0; i < png.size(); ++i) {
    std::string damaged = png;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_THROW(decode(damaged, {1, 2, 2}), DataError) << i;
  }
  EXPECT_EQ(error_of(png.substr(0, 50), {1, 2, 2}), "f: at byte 50: the PNG is damaged: the file ends here");
}

TEST(ImageFile, a_wrong_size_names_both) {
  EXPECT_EQ(error_of(png_of({.width = 2, .height = 1}, {bytes_of({1, 2})}), {1, 28, 14}),
            "f: the image is 2 x 1 pixels, but the network's input is 14 x 28");
  EXPECT_EQ(error_of("P5 3 2 255 abcdef", {1, 3, 2}), "f: the image is 3 x 2 pixels, but the network's input is 2 x 3");
}

TEST(ImageFile, an_input_that_is_no_image_is_the_users_error) {
  for (const Shape& input : {Shape{440}, Shape{2, 3, 3}, Shape{3, 3}}) {
    EXPECT_THROW(decode("P5 3 3 255 abcdefghi", input), ConfigError);
  }
}

TEST(Pnm, gray_and_colour) {
  EXPECT_THAT(decode("P5\n# a comment\n3 1\n# another\n255\n" + bytes_of({0, 51, 255}), {1, 1, 3}),
              ElementsAre(0.0f, 51 / 255.0f, 1.0f));
  EXPECT_THAT(decode("P6 1 2 255\n" + bytes_of({255, 0, 51, 10, 20, 30}), {3, 2, 1}),
              ElementsAre(1.0f, 10 / 255.0f, 0.0f, 20 / 255.0f, 51 / 255.0f, 30 / 255.0f));
}

TEST(Pnm, the_largest_value_is_the_files) {
  EXPECT_THAT(decode("P5 2 1 15 " + bytes_of({15, 3}), {1, 1, 2}), ElementsAre(1.0f, 0.2f));
  EXPECT_THAT(decode("P5 2 1 1000 " + bytes_of({0x03, 0xe8, 0x00, 0xc8}), {1, 1, 2}), ElementsAre(1.0f, 0.2f));
}

struct BadPnm {
  const char* name;
  std::string bytes, error;
};

class BadPnmFile : public ::testing::TestWithParam<BadPnm> {};

TEST_P(BadPnmFile, is_a_data_error_that_says_why) {
  EXPECT_EQ(error_of(GetParam().bytes, {1, 1, 2}), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    files, BadPnmFile,
    ::testing::Values(
        BadPnm{"empty", "",
               "f: at byte 0: is not an image that can be read; JPEG, PNG and binary PGM (P5) and PPM (P6) are read"},
        BadPnm{"text", "P2 2 1 9 1 2",
               "f: at byte 0: is a PGM or PPM of text; JPEG, PNG and binary PGM (P5) and PPM (P6) are read"},
        BadPnm{"no_numbers", "P5", "f: at byte 2: the width is missing"},
        BadPnm{"endless_comment", "P5 2 1 #255", "f: at byte 11: the largest value is missing"},
        BadPnm{"letters", "P5 2 x", "f: at byte 5: the height is missing"},
        BadPnm{"negative", "P5 -2 1 255 ab", "f: at byte 3: the width is missing"},
        BadPnm{"zero", "P5 2 0 255 ", "f: at byte 5: the height is 0"},
        BadPnm{"wide", "P5 99999999999999999999 1 255 ", "f: at byte 3: the width is past 1,000,000"},
        BadPnm{"deep", "P5 2 1 65536 ab", "f: at byte 7: the largest value is past 65,535"},
        BadPnm{"header_cut", "P5 2 1 255", "f: at byte 10: the header does not end with white space"},
        BadPnm{"header_runs_on", "P5 2 1 255ab", "f: at byte 10: the header does not end with white space"},
        BadPnm{"cut", "P5 2 1 255 a", "f: ends after 12 of 13 bytes"},
        BadPnm{"cut_16_bits", "P5 2 1 256 abc", "f: ends after 14 of 15 bytes"},
        BadPnm{"extra", "P5 2 1 255 abcd", "f: at byte 13: 2 bytes follow the image"},
        BadPnm{"value_past_largest", "P5 2 1 9 \x09\x0a", "f: at byte 10: the value 10 is past the largest one, 9"}),
    [](const auto& row) { return row.param.name; });

TEST(ImageFile, is_read_from_a_file) {
  const TemporaryFolder folder;
  const std::string path = folder.write("two.pgm", "P5 2 1 255 " + bytes_of({0, 255}));
  EXPECT_THAT(read_image(path, {1, 1, 2}), ElementsAre(0.0f, 1.0f));
  EXPECT_THAT(
      [&] {
        read_image(folder.path("none.png"), {1, 1, 2});
      },
      ThrowsMessage<ConfigError>(HasSubstr("cannot open " + folder.path("none.png"))));
}

}  // namespace
}  // namespace hadal
