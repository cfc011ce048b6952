#include "data/image_list.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "base/error.h"
#include "data/text_line.h"

namespace hadal {

namespace {

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

std::vector<ListedImage> parse_image_list(std::string_view text, const std::string& file) {
  std::vector<ListedImage> images;
  std::vector<CsvField> fields;
  int number = 0;
  while (!text.empty()) {
    const std::string_view line = without_blanks(text.substr(0, text.find('\n')));
    text.remove_prefix(
        std::min(text.size(), text.find('\n') == std::string_view::npos ? text.size() : text.find('\n') + 1));
    ++number;
    if (line.empty()) continue;
    const auto fail = [&](const std::string& what) { throw DataError(fmt::format("{}:{}: {}", file, number, what)); };
    std::string path, label;
    const std::size_t comma = line.find_first_of(",\t");
    if (comma != std::string_view::npos) {
      fields.clear();
      if (const auto error = split_csv(line, line[comma], fields)) fail(error->message);
      path = fields[0].text;
      if (fields.size() > 1) label = fields[1].text;
    } else if (const std::size_t space = line.find_last_of(' '); space != std::string_view::npos) {
      path = line.substr(0, space);
      label = line.substr(space + 1);
    } else {
      path = line;
    }
    const std::string_view digits = without_blanks(label);
    std::int32_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool is_label = error == std::errc() && end == digits.data() + digits.size() && value >= 0;
    if (!is_label && number == 1) continue;
    if (!is_label)
      fail(fmt::format("the label '{}' is not a whole number from 0 on; a line is a path, then its label", digits));
    path = without_blanks(path);
    if (path.empty() || path.find('\0') != std::string::npos) fail("there is no path before the label");
    images.push_back({std::move(path), value, number});
  }
  return images;
}

}  // namespace hadal
