#include "data/jpeg_image.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
// It needs size_t and FILE from before.
#include <jpeglib.h>
// What its messages are called.
#include <jerror.h>

#include "base/error.h"

namespace hadal {

// libjpeg reports an error by a call that must not return; longjmp must not pass over a destructor. So every function
// that calls setjmp has only plain variables.
class JpegDecoder::Library {
 public:
  Library() {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    jpeg_.client_data = this;
    HADAL_CHECK(create());
    jpeg_.mem->max_memory_to_use = kMostMemory;
    progress_.progress_monitor = on_progress;
    jpeg_.progress = &progress_;
  }
  ~Library() { jpeg_destroy_decompress(&jpeg_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  bool read_header(const unsigned char* bytes, std::size_t count) {
    jpeg_abort_decompress(&jpeg_);
    size_ = count;
    message_[0] = '\0';
    if (setjmp(jump_) != 0) return false;
    jpeg_mem_src(&jpeg_, bytes, static_cast<unsigned long>(count));
    jpeg_read_header(&jpeg_, TRUE);
    return true;
  }

  bool start(int eighths, bool gray) {
    if (setjmp(jump_) != 0) return false;
    jpeg_.scale_num = static_cast<unsigned>(eighths);
    jpeg_.scale_denom = 8;
    if (jpeg_.jpeg_color_space == JCS_CMYK || jpeg_.jpeg_color_space == JCS_YCCK) {
      jpeg_.out_color_space = JCS_CMYK;
    } else {
      jpeg_.out_color_space = gray || jpeg_.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    }
    jpeg_start_decompress(&jpeg_);
    return true;
  }

  // Columns [x, x + width) alone are wanted: makes them what is read.
  bool choose_columns(JDIMENSION& x, JDIMENSION& width) {
    if (setjmp(jump_) != 0) return false;
    jpeg_crop_scanline(&jpeg_, &x, &width);
    return true;
  }

  // Rows [y, y + height); there is room for one more. All others are looked at for errors, so the last is read too: the
  // library does not look behind what is skipped at the end.
  bool read_pixels(unsigned char* pixels, std::size_t row_bytes, JDIMENSION y, JDIMENSION height) {
    if (setjmp(jump_) != 0) return false;
    if (y > 0) jpeg_skip_scanlines(&jpeg_, y);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      const JDIMENSION done = jpeg_.output_scanline - y;
      if (done == height && jpeg_.output_height - jpeg_.output_scanline > 1) {
        jpeg_skip_scanlines(&jpeg_, jpeg_.output_height - jpeg_.output_scanline - 1);
      }
      JSAMPROW row = pixels + std::min(done, height) * row_bytes;
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  RasterSize size() const { return {jpeg_.image_width, jpeg_.image_height}; }
  RasterSize output() const { return {jpeg_.output_width, jpeg_.output_height}; }
  int channels() const { return jpeg_.output_components; }
  bool is_inverted() const { return jpeg_.saw_Adobe_marker != FALSE; }
  const char* message() const { return message_; }
  std::size_t position() const {
    return jpeg_.src == nullptr ? 0 : size_ - std::min(size_, jpeg_.src->bytes_in_buffer);
  }

 private:
  static constexpr int kMostScans = 200;          // of a progressive image: each costs as much as an image
  static constexpr long kMostMemory = 256 << 20;  // of its coefficients, which are all kept

  bool create() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    return true;
  }

  [[noreturn]] static void fail(j_common_ptr jpeg, const char* message) {
    Library& library = *static_cast<Library*>(jpeg->client_data);
    std::snprintf(library.message_, sizeof(library.message_), "%s", message);
    std::longjmp(library.jump_, 1);
  }

  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    if (jpeg->err->msg_code == JERR_NO_BACKING_STORE)
      fail(jpeg, "it needs more than 256 MiB: save it as a baseline one");
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    fail(jpeg, message);
  }

  // A warning says that bytes are wrong, and that gray is shown in their place. Some are of bytes that do not matter.
  static void on_message(j_common_ptr jpeg, int level) {
    const int code = jpeg->err->msg_code;
    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR) return;
    on_error(jpeg);
  }

  static void on_progress(j_common_ptr jpeg) {
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMostScans) fail(jpeg, "it has too many scans");
  }

  jpeg_decompress_struct jpeg_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  std::size_t size_ = 0;
  char message_[JMSG_LENGTH_MAX] = "";
};

namespace {

// Ink that leaves this much of each colour, as Adobe's programs write it, or takes it, to three colours.
void make_colour(bool inverted, Image& image) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(image.width * image.height); ++i) {
    const int black = image.pixels[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const int ink = image.pixels[4 * i + c];
      image.pixels[3 * i + c] =
          static_cast<std::uint8_t>(inverted ? ink * black / 255 : (255 - ink) * (255 - black) / 255);
    }
  }
  image.channels = 3;
}

}  // namespace

JpegDecoder::JpegDecoder() : library_(std::make_unique<Library>()) {}

JpegDecoder::~JpegDecoder() = default;

RasterSize JpegDecoder::open(std::span<const std::byte> bytes, const std::string& file) {
  file_ = &file;
  if (!library_->read_header(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) {
    throw DataError(file, library_->position(), std::string("the JPEG is damaged: ") + library_->message());
  }
  check_size(library_->size(), file);
  return library_->size();
}

void JpegDecoder::decode(int eighths, int channels, Image& image, const RasterPart* part) {
  const auto fail = [&] {
    throw DataError(*file_, library_->position(), std::string("the JPEG is damaged: ") + library_->message());
  };
  if (!library_->start(eighths, channels == 1)) fail();
  RasterPart read{.width = library_->output().width, .height = library_->output().height};
  if (part != nullptr) {
    auto x = static_cast<JDIMENSION>(part->x), width = static_cast<JDIMENSION>(part->width);
    if (part->width < read.width && !library_->choose_columns(x, width)) fail();
    read = {x, part->y, library_->output().width, part->height};
  }
  image.begin({read.width, read.height + 1}, library_->channels());
  image.height = read.height;
  image.eighths = eighths;
  image.file = library_->size();
  image.x = read.x;
  image.y = read.y;
  if (!library_->read_pixels(image.pixels.data(), static_cast<std::size_t>(image.width * image.channels),
                             static_cast<JDIMENSION>(read.y), static_cast<JDIMENSION>(read.height))) {
    fail();
  }
  if (image.channels == 4) make_colour(library_->is_inverted(), image);
  if (channels == 1) image.make_gray();
}

}  // namespace hadal
