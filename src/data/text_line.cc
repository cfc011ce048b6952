#include "data/text_line.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace hadal {

namespace {

constexpr std::size_t kLongestShown = 40;  // of a message

bool is_space(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && (is_space(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// Text of a file, fit for one line of a message.
std::string shown(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, kLongestShown)) {
    result += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  }
  return result + (text.size() > kLongestShown ? "...'" : "'");
}

// All of `text` as a number; NaN and infinity are numbers here.
bool parse_number(std::string_view text, double& number) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ptr != end || text.empty() || parsed.ec == std::errc::invalid_argument) return false;
  if (parsed.ec == std::errc::result_out_of_range) number = std::strtod(std::string(text).c_str(), nullptr);
  return true;
}

std::optional<LineError> parse_feature(std::string_view text, std::size_t column, float& value) {
  double number = 0;
  if (!parse_number(text, number)) return LineError{column, shown(text) + " is not a number"};
  value = static_cast<float>(number);
  if (!std::isfinite(value)) return LineError{column, shown(text) + " is not finite"};
  return std::nullopt;
}

std::optional<LineError> parse_label(std::string_view text, std::size_t column, std::int64_t& label) {
  constexpr double kLargest = 1 << 30;
  double number = 0;
  const bool fits = parse_number(text, number) && number == std::floor(number) && std::abs(number) <= kLargest;
  if (!fits) return LineError{column, "the label " + shown(text) + " is not a whole number"};
  label = static_cast<std::int64_t>(number);
  return std::nullopt;
}

std::string_view without_comment(std::string_view line) { return line.substr(0, line.find('#')); }

// The next word of a line, from `position` on; empty at its end.
std::string_view next_word(std::string_view line, std::size_t& position) {
  while (position < line.size() && (is_space(line[position]) || line[position] == '\r')) ++position;
  const std::size_t begin = position;
  while (position < line.size() && !is_space(line[position]) && line[position] != '\r') ++position;
  return line.substr(begin, position - begin);
}

// One field from `position` on, which then is past it and its delimiter, or npos where it was the last. `storage` holds
// it where it is not a piece of the line.
std::optional<LineError> next_field(std::string_view line, char delimiter, std::size_t& position,
                                    std::string_view& field, std::string& storage) {
  std::size_t at = position;
  while (at < line.size() && is_space(line[at]) && line[at] != delimiter) ++at;
  if (at == line.size() || line[at] != '"') {
    const std::size_t end = line.find(delimiter, position);
    field = trimmed(line.substr(position, end == std::string_view::npos ? end : end - position));
    position = end == std::string_view::npos ? end : end + 1;
    return std::nullopt;
  }
  const std::size_t begin = at++;
  storage.clear();
  while (true) {
    const std::size_t quote = line.find('"', at);
    if (quote == std::string_view::npos)
      return LineError{begin + 1, "a quote begins here and does not end in the line"};
    storage.append(line, at, quote - at);
    at = quote + 1;
    if (at == line.size() || line[at] != '"') break;
    storage += '"';
    ++at;
  }
  field = storage;
  while (at < line.size() && line[at] != delimiter && (is_space(line[at]) || line[at] == '\r')) ++at;
  if (at < line.size() && line[at] != delimiter) return LineError{at + 1, "text follows the end of a quoted field"};
  position = at == line.size() ? std::string_view::npos : at + 1;
  return std::nullopt;
}

}  // namespace

bool is_sample(const LibsvmFormat&, std::string_view line) { return !trimmed(without_comment(line)).empty(); }

bool is_sample(const CsvFormat&, std::string_view line) { return !trimmed(line).empty(); }

std::optional<std::int64_t> libsvm_label(std::string_view line) {
  std::size_t position = 0;
  std::int64_t label = 0;
  if (parse_label(next_word(without_comment(line), position), 1, label)) return std::nullopt;
  return label;
}

std::optional<LineError> parse_line(const LibsvmFormat& format, std::string_view line, std::span<float> values,
                                    std::int64_t& label) {
  line = without_comment(line);
  std::size_t position = 0;
  const std::string_view first = next_word(line, position);
  if (auto error = parse_label(first, position - first.size() + 1, label)) return error;
  if (label == -1) label = 0;
  std::fill(values.begin(), values.end(), 0.0f);
  std::int64_t last = format.first_index - 1;
  for (std::string_view word; !(word = next_word(line, position)).empty();) {
    const std::size_t column = position - word.size() + 1, colon = word.find(':');
    std::int64_t index = 0;
    const char* const end = word.data() + (colon == std::string_view::npos ? 0 : colon);
    const auto parsed = std::from_chars(word.data(), end, index);
    if (colon == std::string_view::npos || colon == 0 || parsed.ptr != end || parsed.ec != std::errc()) {
      return LineError{column, shown(word) + " is not INDEX:VALUE"};
    }
    if (index < format.first_index) {
      return LineError{column, fmt::format("index {} is below the first, {}{}", index, format.first_index,
                                           index == 0 ? "; is first_index: 0 meant?" : "")};
    }
    if (index <= last) return LineError{column, fmt::format("index {} comes after {}: indices rise", index, last)};
    const auto place = static_cast<std::size_t>(index - format.first_index);
    if (place >= values.size()) {
      return LineError{column,
                       fmt::format("index {} is past the {} numbers of the network's input", index, values.size())};
    }
    if (auto error = parse_feature(word.substr(colon + 1), column + colon + 1, values[place])) return error;
    last = index;
  }
  return std::nullopt;
}

std::optional<LineError> parse_line(const CsvFormat& format, std::string_view line, std::span<float> values,
                                    std::int64_t& label) {
  std::size_t position = 0, column = 0, value = 0;
  std::string storage;
  while (position != std::string_view::npos) {
    const std::size_t begin = position + 1;
    std::string_view field;
    if (auto error = next_field(line, format.delimiter, position, field, storage)) return error;
    if (column == format.columns) {
      return LineError{begin, fmt::format("there are more than {} columns", format.columns)};
    }
    if (column++ == format.label) {
      if (auto error = parse_label(trimmed(field), begin, label)) return error;
    } else if (value < values.size()) {
      if (auto error = parse_feature(trimmed(field), begin, values[value++])) return error;
    }
  }
  if (column == format.columns) return std::nullopt;
  return LineError{line.size() + 1, fmt::format("the line ends after {} of {} columns", column, format.columns)};
}

std::optional<LineError> split_csv(std::string_view line, char delimiter, std::vector<CsvField>& fields) {
  fields.clear();
  std::size_t position = 0;
  std::string storage;
  while (position != std::string_view::npos) {
    const std::size_t begin = position + 1;
    std::string_view field;
    if (auto error = next_field(line, delimiter, position, field, storage)) return error;
    fields.push_back({begin, std::string(field)});
  }
  return std::nullopt;
}

bool is_number(const CsvField& field) {
  double number = 0;
  return parse_number(trimmed(field.text), number);
}

}  // namespace hadal
