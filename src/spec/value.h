#pragma once
// A YAML document as a tree of values that know where they stand.
//
// Narrower than YAML: one document of UTF-8 without control characters; no anchors, aliases or tags; keys are words and
// stand once in their map. Limits: 4 MiB of text, 64 levels, 200,000 values. JSON is YAML.

#include <string>
#include <vector>

#include "base/error.h"

namespace hadal {

inline constexpr int kMaxDepth = 64;
inline constexpr std::size_t kMaxTextBytes = 4 << 20;

struct Entry;

struct Value {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Position where;
  std::string text;            // scalar
  bool quoted = false;         // scalar: "5" is a text, 5 is a number
  std::vector<Value> items;    // list
  std::vector<Entry> entries;  // map, in the order of the text
};

struct Entry {
  std::string key;
  Position where;
  Value value;
};

// Throws ConfigError at the line and column of `file`; an empty document is a null.
Value read_yaml(const std::string& text, const std::string& file);

// Every value stands at `where`.
Value read_yaml_at(const std::string& text, const Position& where);

// The text of a file, no longer than what read_yaml() refuses. Throws ConfigError; `what` says what it should be: "a
// job".
std::string read_text_file(const std::string& path, const std::string& what);

// For a message: 'x', a list, a map, or nothing.
std::string shown(const Value& value);

// What a user wrote, fit for one line of a message: control characters escaped, long texts cut.
std::string shown(const std::string& text);

bool has_control_character(const std::string& text);

}  // namespace hadal
