#include "spec/image_keys.h"

namespace hadal {

namespace {

using I = ImageSpec;

constexpr WholeRange kSide{1, 16'384}, kCrops{1, 10};
constexpr RealRange kAreaShare{0, 1, true, false}, kAspect{0.1, 10};

Key<I> resize_key() {
  static const std::vector<std::string> kWords = {"fit", "stretch", "none"};  // in the order of Resize
  return {"resize",
          "fit, stretch, none or a " + describe(kSide),
          "fit",
          "size before the crop: just covers the input; has its shape; as it is; pixels of the shorter side",
          [](const Value& value, const std::string& path, I& into) {
            if (is_number(value)) {
              into.resize = Resize::side;
              into.side = static_cast<std::int64_t>(read_whole(value, path, kSide));
            } else {
              into.resize = static_cast<Resize>(read_choice(value, path, kWords));
            }
          },
          [](const I& from) {
            return from.resize == Resize::side ? Json(from.side) : Json(kWords[static_cast<std::size_t>(from.resize)]);
          }};
}

Key<I> crops_key() {
  return {"crops",
          "1, 2, 5 or 10",
          "1",
          "of `data.test`: crops of an image that probabilities are averaged over",
          [](const Value& value, const std::string& path, I& into) {
            const std::uint64_t crops = read_whole(value, path, kCrops);
            if (crops != 1 && crops != 2 && crops != 5 && crops != 10) {
              throw ConfigError(value.where, path + " must be 1, 2, 5 or 10, not " + std::to_string(crops));
            }
            into.crops = static_cast<std::int64_t>(crops);
          },
          [](const I& from) { return Json(from.crops); }};
}

std::array<double, 2> read_interval(const Value& value, const std::string& path, const RealRange& range) {
  if (value.kind != Value::Kind::list || value.items.size() != 2) {
    throw ConfigError(value.where, path + " must be a list of two numbers, the least and the most");
  }
  const std::array<double, 2> both{read_double(value.items[0], "the least of " + path, range),
                                   read_double(value.items[1], "the most of " + path, range)};
  if (both[0] > both[1]) throw ConfigError(value.where, path + ": the least is above the most");
  return both;
}

Json interval_json(const std::array<double, 2>& both) { return {number_json(both[0]), number_json(both[1])}; }

Key<I> area_key() {
  return {
      "area",
      "none, or a list of two rising numbers above 0, at most 1",
      "none",
      "random crops of the least to the most of these shares of the image, scaled to the input, in place of `resize`",
      [](const Value& value, const std::string& path, I& into) {
        into.area.reset();
        if (value.kind != Value::Kind::scalar || value.text != "none") {
          into.area = read_interval(value, path, kAreaShare);
        }
      },
      [](const I& from) { return from.area ? interval_json(*from.area) : Json("none"); }};
}

Key<I> aspect_key() {
  return {
      "aspect",
      "list of two rising numbers from 0.1 to 10",
      "[1,1]",
      "width to height of the crops of `area`, against that of the input",
      [](const Value& value, const std::string& path, I& into) { into.aspect = read_interval(value, path, kAspect); },
      [](const I& from) { return interval_json(from.aspect); }};
}

// One number for all channels, or a list of one for each.
Key<I> by_channel(std::string name, std::vector<double> I::*place, RealRange range, std::string fallback,
                  std::string meaning) {
  return {std::move(name),
          describe(range) + ", or a list of one for each channel",
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, I& into) {
            std::vector<double>& numbers = into.*place;
            numbers.clear();
            if (value.kind != Value::Kind::list) {
              numbers.push_back(read_double(value, path, range));
              return;
            }
            for (const Value& item : value.items) numbers.push_back(read_double(item, "a number of " + path, range));
            if (numbers.size() != 1 && numbers.size() != 3) {
              throw ConfigError(value.where, path + " must have 1 or 3 numbers, not " + std::to_string(numbers.size()));
            }
          },
          [=](const I& from) {
            const std::vector<double>& numbers = from.*place;
            if (numbers.size() == 1) return number_json(numbers[0]);
            Json list = Json::array();
            for (const double number : numbers) list.push_back(number_json(number));
            return list;
          }};
}

}  // namespace

Keys<ImageSpec> image_keys() {
  return {
      resize_key(),
      whole<I>("pad", &I::pad, {0, 1024}, "0", "black pixels that are added on every side before the crop"),
      choice<I, bool>("crop", &I::random_crop, {{"center", false}, {"random", true}}, "center",
                      "which part of the image is the network's input"),
      crops_key(),
      boolean<I>("mirror", &I::mirror, "false", "left becomes right in every other image, at random"),
      area_key(),
      aspect_key(),
      real<I>("scale", &I::scale, {0, 1'000'000, true, false}, "0.00392156862745098",
              "what pixels, 0 to 255, are multiplied by: the default is 1 / 255"),
      by_channel("mean", &I::mean, {-1'000'000, 1'000'000}, "0", "what is then subtracted"),
      by_channel("std", &I::deviation, {0, 1'000'000, true, false}, "1", "what that is divided by"),
      real<I>("pca", &I::pca, {0, 10}, "0",
              "deviation of a random change of colour along the principal components of ImageNet's; 0.1 in Krizhevsky "
              "et al. 2012"),
  };
}

std::string image_to_json(const ImageSpec& image) { return write_map(image_keys(), image).dump(); }

ImageSpec image_from_json(const std::string& json, const std::string& file) {
  try {
    const Value value = read_yaml_at(json, {file, 0, 0});
    ImageSpec image{.where = value.where};
    read_map(value, "image", image_keys(), image);
    return image;
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

void check_image(ImageSpec& image, bool is_test, const std::string& path, const Position& where) {
  image.where = where;
  const auto refuse = [&](bool what, const std::string& why) {
    if (what) throw ConfigError(where, path + ": " + why);
  };
  const bool random = image.random_crop || image.mirror;
  refuse(is_test && (random || image.pca > 0),
         "evaluation changes nothing at random: data.test goes without crop: random, mirror, area and pca");
  refuse(image.area && !image.random_crop, "area needs crop: random");
  refuse(!image.area && image.aspect != std::array<double, 2>{1, 1}, "aspect needs area, the size of its crops");
  refuse(image.area && (image.pad > 0 || image.resize != Resize::fit),
         "area cuts its crops from the image as it is: it goes without resize and pad");
}

}  // namespace hadal
