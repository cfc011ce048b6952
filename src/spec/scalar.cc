#include "spec/scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/nearest.h"

namespace hadal {

namespace {

std::string short_text(double number) {
  if (number == std::floor(number) && std::abs(number) <= 1e9) return std::to_string(static_cast<std::int64_t>(number));
  std::array<char, 40> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return {buffer.data(), end};
}

[[noreturn]] void wrong(const Value& value, const std::string& name, const std::string& wanted) {
  throw ConfigError(value.where, name + " must be " + wanted + ", not " + shown(value));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The JSON grammar of numbers, with a sign, leading zeros and an absent digit before or after the point allowed.
bool is_decimal(const std::string& text) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t first = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - first;
  };
  const auto sign = [&] {
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  };
  sign();
  std::size_t mantissa = digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    sign();
    if (digits() == 0) return false;
  }
  return i == text.size();
}

template <class Real>
Real read_real(const Value& value, const std::string& name, const RealRange& range) {
  if (!is_number(value)) wrong(value, name, "a " + describe(range));
  const char* const first = value.text.data() + (value.text[0] == '+');
  Real number = 0;
  const std::errc error = std::from_chars(first, value.text.data() + value.text.size(), number).ec;
  const bool inside = error == std::errc() && std::isfinite(number) &&
                      (range.above_least ? number > range.least : number >= range.least) &&
                      (range.below_most ? number < range.most : number <= range.most);
  if (!inside) wrong(value, name, "a " + describe(range));
  return number + Real(0);  // -0 + 0 is 0
}

struct Unit {
  const char* name;
  std::uint64_t bytes;
};

constexpr std::uint64_t kKilo = 1000, kKibi = 1024;

// Those that size_text() uses come first, the largest of them first.
constexpr auto kUnits = std::to_array<Unit>({{"GB", kKilo* kKilo* kKilo},
                                             {"MB", kKilo* kKilo},
                                             {"kB", kKilo},
                                             {"B", 1},
                                             {"TB", kKilo* kKilo* kKilo* kKilo},
                                             {"KiB", kKibi},
                                             {"MiB", kKibi* kKibi},
                                             {"GiB", kKibi* kKibi* kKibi},
                                             {"TiB", kKibi* kKibi* kKibi* kKibi}});

}  // namespace

std::uint64_t read_size(const Value& value, const std::string& name) {
  constexpr double kMost = 1e15;
  const std::string& text = value.text;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string unit(end, text.data() + text.size());
  unit.erase(0, std::min(unit.find_first_not_of(' '), unit.size()));
  const auto found = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return unit == u.name; });
  const bool is_size = value.kind == Value::Kind::scalar && !text.empty() && is_digit(text[0]) &&
                       error == std::errc() && found != kUnits.end();
  const double bytes = is_size ? std::floor(number * static_cast<double>(found->bytes)) : 0;
  if (bytes < 1 || bytes > kMost) wrong(value, name, "none or a size, as 900 MB or 1.5 GB");
  return static_cast<std::uint64_t>(bytes);
}

std::string size_text(std::uint64_t bytes) {
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return bytes % u.bytes == 0; });
  return std::to_string(bytes / unit->bytes) + " " + unit->name;
}

std::string describe(const WholeRange& range) {
  return "whole number from " + std::to_string(range.least) + " to " + std::to_string(range.most);
}

std::string describe(const RealRange& range) {
  const std::string least = short_text(range.least), most = short_text(range.most);
  if (range.above_least) return "number above " + least + ", at most " + most;
  return "number from " + least + (range.below_most ? " to below " : " to ") + most;
}

bool is_number(const Value& value) {
  return value.kind == Value::Kind::scalar && !value.quoted && is_decimal(value.text);
}

std::uint64_t read_whole(const Value& value, const std::string& name, const WholeRange& range) {
  std::uint64_t number = 0;
  const std::string& text = value.text;
  const bool plain = is_number(value) && std::all_of(text.begin(), text.end(), is_digit);
  const bool canonical = plain && (text == "0" || text[0] != '0');
  const std::errc error = std::from_chars(text.data(), text.data() + text.size(), number).ec;
  if (!canonical || error != std::errc() || number < range.least || number > range.most) {
    wrong(value, name, "a " + describe(range));
  }
  return number;
}

double read_double(const Value& value, const std::string& name, const RealRange& range) {
  return read_real<double>(value, name, range);
}

float read_float(const Value& value, const std::string& name, const RealRange& range) {
  return read_real<float>(value, name, range);
}

bool read_bool(const Value& value, const std::string& name) {
  const bool is_bool =
      value.kind == Value::Kind::scalar && !value.quoted && (value.text == "true" || value.text == "false");
  if (!is_bool) wrong(value, name, "true or false");
  return value.text == "true";
}

std::string read_text(const Value& value, const std::string& name) {
  if (value.kind != Value::Kind::scalar) wrong(value, name, "a text");
  if (value.text.empty()) throw ConfigError(value.where, name + " must not be empty");
  if (has_control_character(value.text)) throw ConfigError(value.where, name + " has a control character in it");
  return value.text;
}

std::string join_or(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + words[i];
  }
  return text;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

std::size_t read_choice(const Value& value, const std::string& name, const std::vector<std::string>& known) {
  if (value.kind != Value::Kind::scalar) wrong(value, name, join_or(known));
  const auto found = std::find(known.begin(), known.end(), value.text);
  if (found == known.end()) {
    throw ConfigError(value.where, name + " must be " + join_or(known) + ", not " + shown(value.text) +
                                       did_you_mean(value.text, known));
  }
  return static_cast<std::size_t>(found - known.begin());
}

void refuse_not_yet(const Position& where, const std::string& what, const std::string& use_instead) {
  throw ConfigError(
      where, what + " is not supported by this version yet" + (use_instead.empty() ? "" : "; use " + use_instead));
}

}  // namespace hadal
