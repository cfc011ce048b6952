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

  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png_, info_);
    if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  // An interlaced image comes in several passes, each of which adds to all rows.
  bool read_pixels(png_bytep pixels) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (std::size_t y = 0; y < png_get_image_height(png_, info_); ++y) {
        png_read_row(png_, pixels + y * row_bytes(), nullptr);
      }
    }
    png_read_end(png_, nullptr);
    return true;
  }

  RasterSize size() const { return {png_get_image_width(png_, info_), png_get_image_height(png_, info_)}; }
  int channels() const { return png_get_channels(png_, info_); }
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
  int passes_ = 1;
};

[[noreturn]] void fail(const PngReader& reader, const std::string& file) {
  throw DataError(file, reader.position(), std::string("the PNG is damaged: ") + reader.message());
}

void read_header(PngReader& reader, const std::string& file) {
  if (!reader.read_header()) fail(reader, file);
  check_size(reader.size(), file);
}

}  // namespace

RasterSize png_size(std::span<const std::byte> bytes, const std::string& file) {
  PngReader reader(bytes);
  read_header(reader, file);
  return reader.size();
}

void decode_png(std::span<const std::byte> bytes, const std::string& file, Image& image) {
  PngReader reader(bytes);
  read_header(reader, file);
  image.begin(reader.size(), reader.channels());
  HADAL_CHECK(image.channels == 1 || image.channels == 3);
  HADAL_CHECK(reader.row_bytes() == static_cast<std::size_t>(image.width * image.channels));
  if (!reader.read_pixels(image.pixels.data())) fail(reader, file);
}

}  // namespace hadal
