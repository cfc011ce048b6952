#include "spec/write_yaml.h"

#include <algorithm>
#include <cctype>

namespace hadal {

namespace {

// Words that mean themselves without quotes, in braces too.
bool is_plain(const std::string& word) {
  const auto is_inner = [](unsigned char c) {
    return std::isalnum(c) || std::string("_./-:").find(static_cast<char>(c)) != std::string::npos;
  };
  return !word.empty() && (std::isalnum(static_cast<unsigned char>(word[0])) || word[0] == '/') && word.back() != ':' &&
         std::all_of(word.begin(), word.end(), is_inner) && word != "null" && word != "Null" && word != "NULL";
}

std::string flow(const Json& value) {
  if (value.is_string() && is_plain(value.get<std::string>())) return value.get<std::string>();
  if (!value.is_structured()) return value.dump();
  std::string text(1, value.is_object() ? '{' : '[');
  for (const auto& [key, inner] : value.items()) {
    if (text.size() > 1) text += ", ";
    if (value.is_object()) text.append(key).append(": ");
    text += flow(inner);
  }
  return text + (value.is_object() ? '}' : ']');
}

bool is_list_of_maps(const Json& value) { return value.is_array() && !value.empty() && value[0].is_object(); }

// A layer stands without braces around its one key.
void write_list(const Json& list, std::string& text) {
  for (const Json& map : list) {
    text.append("    - ").append(map.begin().key()).append(": ").append(flow(map.begin().value())).append("\n");
  }
}

void write_section(const Json& section, std::string& text) {
  for (const auto& [key, value] : section.items()) {
    text.append("  ").append(key).append(":");
    if (is_list_of_maps(value)) {
      text += "\n";
      write_list(value, text);
    } else {
      text.append(" ").append(flow(value)).append("\n");
    }
  }
}

}  // namespace

std::string write_yaml(const Json& map) {
  std::string text;
  for (const auto& [key, value] : map.items()) {
    text.append(key).append(":");
    if (value.is_object()) {
      text += "\n";
      write_section(value, text);
    } else if (is_list_of_maps(value)) {
      text += "\n";
      for (const Json& item : value) text.append("  - ").append(flow(item)).append("\n");
    } else {
      text.append(" ").append(flow(value)).append("\n");
    }
  }
  return text;
}

}  // namespace hadal
