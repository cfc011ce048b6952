#include "data/tar_sample.h"

#include <charconv>
#include <utility>

#include "data/image_decoder.h"

namespace hadal {

namespace {

// "folder/name.seg.png": "folder/name" and "seg.png".
std::pair<std::string_view, std::string_view> split_name(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  const std::size_t point = name.find('.', slash == std::string_view::npos ? 0 : slash + 1);
  if (point == std::string_view::npos) return {name, ""};
  return {name.substr(0, point), name.substr(point + 1)};
}

}  // namespace

TarSamples::TarSamples(std::string file, std::uint64_t size, TarBytes bytes, std::uint64_t offset)
    : file_(file), reader_(std::move(file), size, std::move(bytes), offset) {}

std::optional<TarSample> TarSamples::next(const OnIncomplete& incomplete) {
  if (!std::exchange(begun_, true)) ahead_ = reader_.next();
  while (ahead_) {
    const std::string key(split_name(ahead_->name).first);
    TarSample sample{.name = "", .begin = ahead_->header};
    bool has_image = false, has_label = false;
    for (; ahead_ && split_name(ahead_->name).first == key; ahead_ = reader_.next()) {
      const std::string_view ending = split_name(ahead_->name).second;
      sample.end = ahead_->end();
      if (!has_label && ending == "cls") {
        has_label = true;
        sample.label_offset = ahead_->offset;
        sample.label_size = ahead_->size;
      } else if (!has_image && ending.find('.') == std::string_view::npos && has_image_name(ahead_->name)) {
        has_image = true;
        sample.name = ahead_->name;
        sample.image_offset = ahead_->offset;
        sample.image_size = ahead_->size;
      }
    }
    if (has_image && has_label) return sample;
    const std::string what = has_image ? "label, a file " + key + ".cls" : "image, a file " + key + ".jpg or .png";
    incomplete(DataError(file_, sample.begin, "sample '" + key + "' has no " + what));
  }
  return std::nullopt;
}

std::optional<std::int32_t> parse_label(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
  std::int32_t label = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (error != std::errc() || end != text.data() + text.size() || label < 0) return std::nullopt;
  return label;
}

}  // namespace hadal
