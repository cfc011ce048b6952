#include "tensor/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"

namespace hadal {

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kHeaderBegin = 8;  // in the file

constexpr std::pair<std::string_view, std::uint64_t> kElementSizes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
    {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
    {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8},
};

// Takes the header event by event: its memory is that of what it describes, whatever the JSON nests or repeats.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(const std::string& file, SafetensorsHeader& header) : file_(file), header_(header) {}

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && name_ == "__metadata__") {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      place_ = Place::tensor;
      header_.entries.push_back({.name = name_});
      has_type_ = has_shape_ = false;
      offsets_.clear();
      has_offsets_ = false;
    } else {
      fail_value();
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) finish_tensor();
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool key(std::string& word) override {
    if (place_ == Place::top) {
      if (!names_.insert(word).second) fail("the name '" + word + "' comes twice");
      name_ = word;
    } else if (place_ == Place::metadata) {
      if (header_.metadata.contains(word)) fail("the metadata has '" + word + "' twice");
      field_ = word;
    } else {
      field_ = word;
      bool* const seen = word == "dtype"          ? &has_type_
                         : word == "shape"        ? &has_shape_
                         : word == "data_offsets" ? &has_offsets_
                                                  : nullptr;
      if (seen == nullptr) fail(tensor() + " has an unknown field '" + word + "'");
      if (std::exchange(*seen, true)) fail(tensor() + " has '" + word + "' twice");
    }
    return true;
  }

  bool string(std::string& text) override {
    if (place_ == Place::metadata) {
      header_.metadata.emplace(field_, std::move(text));
    } else if (place_ == Place::tensor && field_ == "dtype") {
      header_.entries.back().type = std::move(text);
    } else {
      fail_value();
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || field_ == "dtype") fail_value();
    place_ = Place::list;
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }

  bool number_unsigned(std::uint64_t number) override {
    if (place_ != Place::list) fail_value();
    if (field_ == "data_offsets") {
      offsets_.push_back(number);
      if (offsets_.size() > 2) fail_value();
    } else {
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) fail_value();
      header_.entries.back().shape.push_back(static_cast<std::int64_t>(number));
    }
    return true;
  }

  bool null() override { fail_value(); }
  bool boolean(bool) override { fail_value(); }
  bool number_integer(std::int64_t) override { fail_value(); }  // only the negative ones
  bool number_float(double, const std::string&) override { fail_value(); }
  bool binary(Json::binary_t&) override { fail_value(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw DataError(file_, kHeaderBegin + (position > 0 ? position - 1 : 0), "the header is not valid JSON here");
  }

 private:
  enum class Place { outside, top, metadata, tensor, list };

  std::string tensor() const { return "tensor '" + name_ + "'"; }

  [[noreturn]] void fail(const std::string& message) const { throw DataError(file_, kHeaderBegin, message); }

  [[noreturn]] void fail_value() const {
    switch (place_) {
      case Place::outside:
        fail("the header is not a JSON object");
      case Place::top:
        fail("'" + name_ + "' in the header is not a JSON object");
      case Place::metadata:
        fail("the metadata '" + field_ + "' is not a string");
      case Place::tensor:
      case Place::list:
        break;
    }
    fail(tensor() + " has a wrong value for '" + field_ + "'");
  }

  void finish_tensor() {
    SafetensorsEntry& entry = header_.entries.back();
    if (!has_type_) fail(tensor() + " has no 'dtype'");
    if (!has_shape_) fail(tensor() + " has no 'shape'");
    if (!has_offsets_) fail(tensor() + " has no 'data_offsets'");
    if (offsets_.size() != 2) fail_offsets();
    entry.begin = offsets_[0];
    entry.end = offsets_[1];

    const std::optional<std::uint64_t> element_size = safetensors_element_size(entry.type);
    if (!element_size) fail(tensor() + " has the unknown type '" + entry.type + "'");
    std::uint64_t size = *element_size;
    for (const std::int64_t dimension : entry.shape) {
      if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(dimension), &size))
        fail(tensor() + ": its shape " + to_string(entry.shape) + " is too large");
    }
    if (entry.begin > entry.end) fail_offsets();
    if (entry.end - entry.begin != size) {
      fail(tensor() + " is " + to_string(entry.shape) + " of " + entry.type + ", which is " + std::to_string(size) +
           " bytes, but its data_offsets span " + std::to_string(entry.end - entry.begin));
    }
  }

  [[noreturn]] void fail_offsets() const { fail(tensor() + ": its data_offsets are not [begin, end]"); }

  const std::string& file_;
  SafetensorsHeader& header_;
  Place place_ = Place::outside;
  std::set<std::string> names_;
  std::string name_, field_;
  bool has_type_ = false, has_shape_ = false, has_offsets_ = false;
  std::vector<std::uint64_t> offsets_;
};

}  // namespace

std::optional<std::uint64_t> safetensors_element_size(std::string_view type) {
  for (const auto& [name, size] : kElementSizes) {
    if (name == type) return size;
  }
  return std::nullopt;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_size, const std::string& file) {
  if (text.empty() || text.front() != '{') throw DataError(file, kHeaderBegin, "the header does not begin with '{'");
  SafetensorsHeader header;
  HeaderReader reader(file, header);
  Json::sax_parse(text.begin(), text.end(), &reader);

  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  const std::uint64_t data_begin = kHeaderBegin + text.size();
  std::uint64_t covered = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != covered) {
      throw DataError(file, data_begin + std::min(covered, entry.begin),
                      "tensor '" + entry.name +
                          (entry.begin > covered ? "' leaves a gap before it" : "' overlaps the one before it"));
    }
    covered = entry.end;
    if (covered > data_size) {
      throw DataError(file, data_begin + data_size,
                      "the file ends here, in tensor '" + entry.name + "', which ends at byte " +
                          std::to_string(covered) + " of the data");
    }
  }
  if (covered != data_size) {
    throw DataError(file, data_begin + covered,
                    std::to_string(data_size - covered) + " bytes after the last tensor belong to none");
  }
  return header;
}

}  // namespace hadal
