#pragma once
// A line of text as a sample: libsvm's sparse format, and comma-separated values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

// What is wrong with a line, and at which of its bytes, from 1.
struct LineError {
  std::size_t column = 1;
  std::string message;
};

// "LABEL INDEX:VALUE INDEX:VALUE ... # comment": indices rise, and features that are not named are 0. Fields are
// separated by spaces or tabs.
struct LibsvmFormat {
  std::int64_t first_index = 1;
};

// RFC 4180's fields, on one line: a field in quotes may hold delimiters, and "" for a quote. Spaces around a number are
// not part of it.
struct CsvFormat {
  char delimiter = ',';
  std::size_t label = 0, columns = 0;  // the label's, from 0; of every line
};

// Whether a line holds a sample: blank lines do not, nor do libsvm's that are all comment.
bool is_sample(const LibsvmFormat& format, std::string_view line);
bool is_sample(const CsvFormat& format, std::string_view line);

// Fill all of `values` and `label`; the error leaves them as they are or half filled. A label -1 of libsvm's becomes 0.
// Values are finite.
std::optional<LineError> parse_line(const LibsvmFormat& format, std::string_view line, std::span<float> values,
                                    std::int64_t& label);
std::optional<LineError> parse_line(const CsvFormat& format, std::string_view line, std::span<float> values,
                                    std::int64_t& label);

// The label of a libsvm line as it is written, where it is a whole number.
std::optional<std::int64_t> libsvm_label(std::string_view line);

struct CsvField {
  std::size_t column = 1;  // where it begins
  std::string text;        // without quotes
};

// The fields of a line; an error where a quote does not end.
std::optional<LineError> split_csv(std::string_view line, char delimiter, std::vector<CsvField>& fields);

bool is_number(const CsvField& field);

}  // namespace hadal
