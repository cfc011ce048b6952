#include "data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/crc32c.h"
#include "base/file.h"
#include "data/image_decoder.h"
#include "data/image_list.h"
#include "data/sample_order.h"

namespace hadal {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLongestList = std::uint64_t{1} << 32;

class ImageFolder : public EncodedSource {
 public:
  ImageFolder(std::string path, std::vector<ListedImage> images) : path_(std::move(path)), images_(std::move(images)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(images_.size()); }
  std::unique_ptr<EncodedReader> reader(const StreamOptions& options) const override;
  bool reads_apart() const override { return true; }

  std::string fingerprint() const override {
    std::uint32_t sum = 0;
    for (const ListedImage& image : images_) {
      sum = crc32c(std::as_bytes(std::span(image.path.c_str(), image.path.size() + 1)), sum);
      sum = crc32c(std::as_bytes(std::span(&image.label, 1)), sum);
      std::error_code absent;  // then it is the largest number
      const std::uint64_t size = fs::file_size(path_of(image), absent);
      sum = crc32c(std::as_bytes(std::span(&size, 1)), sum);
    }
    return fmt::format("{} images, paths, labels and sizes {:08x}", images_.size(), sum);
  }

  const ListedImage& image(std::size_t number) const { return images_[number]; }
  std::string path_of(const ListedImage& image) const { return path_ + "/" + image.path; }

 private:
  const std::string path_;
  const std::vector<ListedImage> images_;
};

class ImageFolderReader : public EncodedReader {
 public:
  ImageFolderReader(const ImageFolder& folder, const StreamOptions& options)
      : folder_(folder),
        options_(options),
        epoch_(options.first_epoch),
        order_(static_cast<std::size_t>(folder.size())) {
    const auto first = static_cast<std::size_t>(options.first_sample);
    next_ = group_begin(first, order_.size());
    skip_ = first - next_;
  }

  bool claim(EncodedGroup& group) override {
    if (next_ == order_.size()) {
      next_ = 0;
      ++epoch_;
    }
    if (epoch_ >= options_.epochs) return false;
    if (epoch_ != ordered_) {
      order_samples({.seed = options_.seed, .number = epoch_, .order = options_.order}, order_);
      ordered_ = epoch_;
    }
    group.epoch = epoch_;
    group.skip = std::exchange(skip_, 0);
    group.samples.resize(group_size(order_.size() - next_));
    for (EncodedSample& sample : group.samples) sample.number = order_[next_++];
    return true;
  }

  void read(EncodedGroup& group) const override {
    std::size_t used = 0;
    for (EncodedSample& sample : group.samples) {
      const ListedImage& image = folder_.image(sample.number);
      sample.label = image.label;
      sample.name = folder_.path_of(image);
      sample.error.clear();
      sample.size = 0;
      try {
        const InputFile file(sample.name);
        if (file.size() > kImageFileLimit) throw DataError(sample.name + ": is larger than an image may be");
        file.read(0, group.append(sample, used, file.size()));
        used += sample.size;
      } catch (const Error& error) {
        sample.error = error.what();
      }
    }
  }

 private:
  const ImageFolder& folder_;
  const StreamOptions options_;
  std::int64_t epoch_, ordered_ = -1;  // of the next sample; of order_
  std::size_t next_ = 0, skip_ = 0;
  std::vector<std::uint32_t> order_;
};

std::unique_ptr<EncodedReader> ImageFolder::reader(const StreamOptions& options) const {
  return std::make_unique<ImageFolderReader>(*this, options);
}

// Of folders and files, as .ipynb_checkpoints or ._1.jpg: other programs' own.
bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::vector<std::string> class_names(const fs::path& path, const Position& where) {
  std::error_code error, unknown;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(unknown) && !is_hidden(*entry)) names.push_back(entry->path().filename().string());
  }
  if (error) throw ConfigError(where, "cannot open " + path.string() + ": " + error.message());
  std::sort(names.begin(), names.end());
  if (names.empty()) {
    throw ConfigError(where, path.string() +
                                 " holds no folders: it needs one of images for each class, or `list`, a file that "
                                 "says the labels");
  }
  return names;
}

// In the order of their paths. What cannot be read is among them: a bad sample.
std::vector<ListedImage> images_of_class(const fs::path& path, const std::string& name, std::int32_t label,
                                         const Position& where) {
  std::vector<ListedImage> images;
  std::error_code error, unknown;
  const auto options = fs::directory_options::follow_directory_symlink;
  fs::recursive_directory_iterator entry(path / name, options, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    const bool is_folder = entry->is_directory(unknown);
    if (is_hidden(*entry)) {
      if (is_folder) entry.disable_recursion_pending();
    } else if (!is_folder && has_image_name(entry->path().filename().string())) {
      images.push_back({entry->path().lexically_relative(path).string(), label});
    }
  }
  if (error) throw ConfigError(where, "cannot read " + (path / name).string() + ": " + error.message());
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return images;
}

// `train`: the folder whose folders number the classes, or nothing where they are those of `path`.
std::vector<ListedImage> images_of_folders(const fs::path& path, const std::optional<std::string>& train,
                                           const Position& where) {
  const std::vector<std::string> classes = class_names(train.value_or(path.string()), where);
  std::vector<ListedImage> images;
  for (const std::string& name : class_names(path, where)) {
    const auto place = std::lower_bound(classes.begin(), classes.end(), name);
    if (place == classes.end() || *place != name) {
      throw ConfigError(where,
                        fmt::format("{} has a folder {}, and data.train, {}, has none of that name: it is no class",
                                    path.string(), name, *train));
    }
    const auto of_class = images_of_class(path, name, static_cast<std::int32_t>(place - classes.begin()), where);
    if (of_class.empty() && !train) {
      throw ConfigError(where, (path / name).string() +
                                   " holds no .jpg, .jpeg, .png, .pgm or .ppm files, and would count as a class");
    }
    images.insert(images.end(), of_class.begin(), of_class.end());
  }
  if (images.empty()) {
    throw ConfigError(where, path.string() + ": its folders hold no .jpg, .jpeg, .png, .pgm or .ppm files");
  }
  return images;
}

void check_labels(const ImageFolderData& data, const std::vector<ListedImage>& images, std::int64_t classes) {
  const auto most = std::max_element(images.begin(), images.end(),
                                     [](const ListedImage& a, const ListedImage& b) { return a.label < b.label; });
  if (classes == 0 || most->label < classes) return;
  if (data.list) {
    throw DataError(fmt::format("{}:{}: {} has label {}, but the network has {} classes, whose labels count from 0",
                                *data.list, most->line, most->path, most->label, classes));
  }
  throw DataError(
      fmt::format("{}: has {} folders of images, but the network has {} classes: its last layer needs out: {}",
                  data.path, most->label + 1, classes, most->label + 1));
}

}  // namespace

std::unique_ptr<EncodedSource> open_image_folder(const ImageFolderData& data, const DataOptions& options) {
  std::vector<ListedImage> images;
  if (data.list) {
    images = parse_image_list(read_file(*data.list, kLongestList, data.where), *data.list);
    if (images.empty()) throw DataError(*data.list + ": lists no images");
  } else {
    images = images_of_folders(data.path, options.class_folders, data.where);
  }
  check_labels(data, images, options.classes);
  return std::make_unique<ImageFolder>(data.path, std::move(images));
}

}  // namespace hadal
