#include "data/image_source.h"

#include <utility>

#include "data/image_folder.h"
#include "data/image_stream.h"
#include "data/tar_source.h"

namespace hadal {

ImageSource::ImageSource(std::unique_ptr<EncodedSource> encoded, const ImageSpec& spec, const DataOptions& options)
    : options_(options),
      spec_(spec),
      values_(spec, options.input),
      encoded_(std::move(encoded)),
      skipped_(encoded_->left_out()) {}

std::unique_ptr<SampleStream> ImageSource::stream(const StreamOptions& options) const {
  return std::make_unique<ImageStream>(*this, options);
}

Skipped ImageSource::skipped() const {
  const std::lock_guard lock(mutex_);
  return skipped_;
}

void ImageSource::count_skipped(const std::string& what) const {
  const std::lock_guard lock(mutex_);
  skipped_.samples.add(what);
}

std::unique_ptr<ImageSource> open_images(const DataSource& source, const DataOptions& options) {
  const ImageSpec& spec = *image_spec(source);
  const PixelValues checked(spec, options.input);  // before files are read
  auto encoded = std::holds_alternative<TarData>(source)
                     ? open_tar(std::get<TarData>(source), options)
                     : open_image_folder(std::get<ImageFolderData>(source), options);
  return std::make_unique<ImageSource>(std::move(encoded), spec, options);
}

}  // namespace hadal
