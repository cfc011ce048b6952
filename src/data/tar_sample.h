#pragma once
// WebDataset's convention: files of an archive that follow each other and are named alike up to the first point behind
// the folders are one sample.

#include <functional>

#include "base/error.h"
#include "data/tar_file.h"

namespace hadal {

struct TarSample {
  std::string name;                  // of the image
  std::uint64_t begin = 0, end = 0;  // all of it in the archive
  std::uint64_t image_offset = 0, image_size = 0, label_offset = 0, label_size = 0;
};

class TarSamples {
 public:
  // What is done about a sample without an image or label; it may throw the error, else the sample is passed over.
  using OnIncomplete = std::function<void(const DataError& error)>;

  TarSamples(std::string file, std::uint64_t size, TarBytes bytes, std::uint64_t offset = 0);

  // The next one: its image is the first file whose ending is that of an image (image_decoder.h), its label the one
  // that ends in `cls`. Nothing at the end. Throws as TarReader does.
  [[nodiscard]] std::optional<TarSample> next(const OnIncomplete& incomplete);

 private:
  std::string file_;
  TarReader reader_;
  std::optional<TarEntry> ahead_;  // first of the next sample
  bool begun_ = false;
};

// A label as `cls` files have it: a whole number from 0 on, spaces around it. Nothing where it is none.
std::optional<std::int32_t> parse_label(std::string_view text);

}  // namespace hadal
