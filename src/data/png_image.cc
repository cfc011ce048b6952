#include "data/png_image.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace hadal {

namespace {

// libpng reports an error by longjmp, which must not pass over a destructor: every function below that calls setjmp has
// only plain variables, and what needs a destructor lives in this object.
class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    HADAL_CHECK(png_ != nullptr && info_ != nullptr);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool read_header(Raster& raster) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png_, info_);
    if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    raster.width = png_get_image_width(png_, info_);
    raster.height = png_get_image_height(png_, info_);
    raster.channels = png_get_channels(png_, info_);
    raster.largest = png_get_bit_depth(png_, info_) == 16 ? 65535 : 255;
    return true;
  }

  // `rows`: one pointer a row, to room for row_bytes().
  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  std::size_t position() const { return position_; }
  const char* message() const { return message_; }

 private:
  static void on_error(png_structp png, png_const_charp message) {
    PngReader& reader = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(reader.message_, sizeof(reader.message_), "%s", message);
    png_longjmp(png, 1);
  }

  static void on_warning(png_structp, png_const_charp) {}

  static void on_read(png_structp png, png_bytep out, std::size_t count) {
    PngReader& reader = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > reader.bytes_.size() - reader.position_) {
      reader.position_ = reader.bytes_.size();
      png_error(png, "the file ends here");
    }
    std::memcpy(out, reader.bytes_.data() + reader.position_, count);
    reader.position_ += count;
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  char message_[160] = "";
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

[[noreturn]] void fail(const PngReader& reader, const std::string& file) {
  throw DataError(file, reader.position(), std::string("the PNG is damaged: ") + reader.message());
}

}  // namespace

Raster decode_png(std::span<const std::byte> bytes, const std::string& file, const RasterSize& wanted) {
  PngReader reader(bytes);
  Raster raster;
  if (!reader.read_header(raster)) fail(reader, file);
  check_size({raster.width, raster.height}, wanted, file);

  const std::size_t row_samples = static_cast<std::size_t>(raster.width) * static_cast<std::size_t>(raster.channels);
  const std::size_t sample_bytes = raster.largest > 255 ? 2 : 1;
  HADAL_CHECK(raster.channels == 1 || raster.channels == 3);
  HADAL_CHECK(reader.row_bytes() == row_samples * sample_bytes);
  const std::size_t height = static_cast<std::size_t>(raster.height);
  std::vector<png_byte> pixels(height * reader.row_bytes());
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < height; ++y) rows.push_back(pixels.data() + y * reader.row_bytes());
  if (!reader.read_pixels(rows.data())) fail(reader, file);

  raster.samples.resize(height * row_samples);
  for (std::size_t i = 0; i < raster.samples.size(); ++i) {
    raster.samples[i] =
        static_cast<std::uint16_t>(sample_bytes == 1 ? pixels[i] : pixels[2 * i] << 8 | pixels[2 * i + 1]);
  }
  return raster;
}

}  // namespace hadal
