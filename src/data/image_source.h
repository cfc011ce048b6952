#pragma once
// Image files as samples: they are read, decoded, and cropped and changed as the job says, each by threads of their own
// (image_stream.h).

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/encoded.h"
#include "data/pixel_values.h"

namespace hadal {

class ImageSource : public SampleSource {
 public:
  ImageSource(std::unique_ptr<EncodedSource> encoded, const ImageSpec& spec, const DataOptions& options);

  const Shape& sample_shape() const override { return options_.input; }
  std::int64_t size() const override { return encoded_->size() * spec_.crops; }
  std::int64_t crops() const override { return spec_.crops; }
  std::unique_ptr<SampleStream> stream(const StreamOptions& options) const override;
  std::string fingerprint() const override { return encoded_->fingerprint(); }
  Skipped skipped() const override;

  // What follows is for the stream.
  const EncodedSource& encoded() const { return *encoded_; }
  const ImageSpec& spec() const { return spec_; }
  const DataOptions& options() const { return options_; }
  const PixelValues& values() const { return values_; }
  RasterSize input() const { return {options_.input[2], options_.input[1]}; }
  int channels() const { return static_cast<int>(options_.input[0]); }
  void count_skipped(const std::string& what) const;

 private:
  const DataOptions options_;
  const ImageSpec spec_;
  const PixelValues values_;
  const std::unique_ptr<EncodedSource> encoded_;

  mutable std::mutex mutex_;  // of what follows
  mutable Skipped skipped_;
};

// Of image_folder or tar. Throws as they do (image_folder.h, tar_source.h), and ConfigError where the network's input
// is no image.
std::unique_ptr<ImageSource> open_images(const DataSource& source, const DataOptions& options);

}  // namespace hadal
