// Any line is a sample of finite numbers, or an error at one of its columns that is told in one line. The first byte
// chooses the format.

#include <cmath>
#include <cstdint>

#include "data/text_line.h"

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void check(const std::optional<hadal::LineError>& error, std::string_view line, std::span<const float> values) {
  if (error) {
    require(error->column >= 1 && error->column <= line.size() + 1);
    for (const char c : error->message) require(c != '\n' && c != '\0');
    return;
  }
  for (const float value : values) require(std::isfinite(value));
}

void read_csv(char delimiter, std::string_view line) {
  std::vector<hadal::CsvField> fields;
  if (auto error = hadal::split_csv(line, delimiter, fields)) return check(error, line, {});
  for (const hadal::CsvField& field : fields) require(field.column >= 1 && field.column <= line.size() + 1);
  // Room for one number less than there are, for as many, and for one more.
  for (std::size_t columns = std::max<std::size_t>(2, fields.size()) - 1; columns <= fields.size() + 1; ++columns) {
    std::vector<float> values(columns - 1);
    std::int64_t label = 0;
    const auto error = hadal::parse_line(
        hadal::CsvFormat{.delimiter = delimiter, .label = columns / 2, .columns = columns}, line, values, label);
    check(error, line, values);
    if (!error) require(columns == fields.size());
  }
}

void read_libsvm(std::int64_t first_index, std::string_view line) {
  std::vector<float> values(20);
  std::int64_t label = 0;
  const auto error = hadal::parse_line(hadal::LibsvmFormat{first_index}, line, values, label);
  check(error, line, values);
  if (!error) require(hadal::libsvm_label(line).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view line(reinterpret_cast<const char*>(data + 1), size - 1);
  line = line.substr(0, line.find('\n'));
  switch (data[0]) {
    case '0':
    case '1':
      read_libsvm(data[0] - '0', line);
      break;
    case '\t':
    case ';':
      read_csv(static_cast<char>(data[0]), line);
      break;
    default:
      read_csv(',', line);
  }
  return 0;
}
