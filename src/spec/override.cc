#include "spec/override.h"

#include <algorithm>
#include <charconv>

namespace hadal {

namespace {

std::string without_quotes(const std::string& quoted) { return quoted.substr(1, quoted.size() - 2); }

Position position_of(const Override& override) {
  if (!override.flag.empty()) return {without_quotes(shown(override.flag)), 0, 0};
  return {"--set " + without_quotes(shown(override.key)) + "=" + without_quotes(shown(override.value)), 0, 0};
}

std::vector<std::string> parts_of(const Override& override, const Position& where) {
  std::vector<std::string> parts{""};
  for (const char c : override.key) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); })) {
    throw ConfigError(where, "a key is words joined by dots, as in solver.epochs");
  }
  if (parts.size() > kMaxDepth) throw ConfigError(where, "a key has at most " + std::to_string(kMaxDepth) + " words");
  return parts;
}

std::string name_of(const std::string& walked) { return walked.empty() ? "job.yaml" : walked; }

Value& item(Value& list, const std::string& part, const std::string& walked, const Position& where) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error != std::errc() || end != part.data() + part.size() || index >= list.items.size()) {
    throw ConfigError(where, name_of(walked) + " is a list of " + std::to_string(list.items.size()) +
                                 "; it has no entry " + shown(part) + " (they count from 0)");
  }
  return list.items[index];
}

Value& entry(Value& value, const std::string& part, const std::string& walked, const Position& where) {
  if (value.kind == Value::Kind::scalar && value.text == part) {  // `relu` is {relu: }
    value.entries = {{part, value.where, {.kind = Value::Kind::null, .where = value.where}}};
    value.kind = Value::Kind::map;
  }
  if (value.kind == Value::Kind::scalar) {
    throw ConfigError(where, name_of(walked) + " is " + shown(value) + ", which has no " + shown(part) + " in it");
  }
  if (value.kind == Value::Kind::null) value = {.kind = Value::Kind::map, .where = where};
  for (Entry& known : value.entries) {
    if (known.key == part) return known.value;
  }
  value.entries.push_back({part, where, {.kind = Value::Kind::null, .where = where}});
  return value.entries.back().value;
}

void apply(Value& root, const Override& override) {
  const Position where = position_of(override);
  Value* value = &root;
  std::string walked;
  for (const std::string& part : parts_of(override, where)) {
    value = value->kind == Value::Kind::list ? &item(*value, part, walked, where) : &entry(*value, part, walked, where);
    walked += (walked.empty() ? "" : ".") + part;
  }
  *value = read_yaml_at(override.value, where);
}

void drop_groups(Value& root) {
  for (Entry& section : root.entries) {
    if (section.key == "parallel")
      std::erase_if(section.value.entries, [](const Entry& e) { return e.key == "groups"; });
  }
}

}  // namespace

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError("--set " + without_quotes(shown(text)) + ": write KEY=VALUE, as in --set solver.epochs=3");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void apply_overrides(Value& root, const std::vector<Override>& overrides) {
  const auto sets = [&](const std::string& key) {
    return std::any_of(overrides.begin(), overrides.end(),
                       [&](const Override& o) { return o.key == key || o.key.starts_with(key + "."); });
  };
  if (sets("parallel.devices") || sets("parallel.split")) drop_groups(root);
  for (const Override& override : overrides) apply(root, override);
}

}  // namespace hadal
